// nf4, NormalFloat4 (QLoRA, Dettmers et al., 2023): value = levels[code] * scale with the 16
// quantiles of a normal distribution, scale = absmax. A value takes the nearest level; on a tie the
// lower one, as in bitsandbytes.
#pragma once

#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

inline constexpr float kNf4Levels[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// The levels in 8 bits, times 127: off by at most 0.4 % of the largest.
inline constexpr int8_t kNf4Integers[16] = {-127, -88, -67, -50, -36, -23, -12, 0,
                                            10,   20,  31,  43,  56,  71,  92,  127};

struct Nf4Thresholds {
  float value[16];  // value[i] lies half-way between levels i and i+1; the last is never reached
  constexpr Nf4Thresholds() : value{} {
    for (int i = 0; i < 15; ++i) value[i] = (kNf4Levels[i] + kNf4Levels[i + 1]) * 0.5f;
    value[15] = 2.0f;
  }
};
inline constexpr Nf4Thresholds kNf4Thresholds{};

struct Nf4 {
  static constexpr int kColumnsPerLine = 8;
  static constexpr int kBits = 4;

  ByteTable16 levels = load_byte_table(kNf4Levels);
  Table16 thresholds = load_table(kNf4Thresholds.value);

  static F32 scale(F32 extreme) { return abs(extreme); }
  static F32 inverse(F32 extreme) { return inverse_of(abs(extreme)); }
  static F32 inverse_of(F32 scale) { return set1(1.0f) / max(scale, set1(1e-38f)); }

  // Binary search for the number of thresholds below x: four look-ups instead of 15 comparisons.
  I32 encode(F32 x, F32 inverse) const {
    const F32 v = min(max(x * inverse, set1(-1.0f)), set1(1.0f));
    I32 code = step<8>(set1i(0), v);
    code = step<4>(code, v);
    code = step<2>(code, v);
    return step<1>(code, v);
  }
  template <int column>
  static I32 place(I32 code) {
    return shift_left<column < 4 ? 8 * column : 8 * (column - 4) + 4>(code);
  }
  template <int first>
  void decode(I32 line, F32 (&out)[4]) const {
    lookup_nibbles<first>(levels, line, out);
  }
  Bytes16 integer_levels = load_bytes16(kNf4Integers);
  static constexpr float kIntegerUnit = 1.0f / 127.0f;
  template <int first>
  SignedBytes integers(I32 line) const {
    return signed_bytes(lookup_i8(integer_levels, shift_right<first>(line) & set1i(0x0f0f0f0f)));
  }

 private:
  template <int size>
  I32 step(I32 code, F32 v) const {
    const F32 threshold = lookup16(thresholds, code + set1i(size - 1));
    return code + bits(select_less(threshold, v, from_bits(set1i(size)), zero()));
  }
};

}  // namespace lowbit::LOWBIT_ISA
