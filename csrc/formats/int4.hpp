// int4: value = (code - 8) * scale with codes 0..15. The scale is extreme / -8, so the value of
// largest magnitude is stored exactly as code 0 whatever its sign (the rule of GGUF's Q4_0): a
// Gaussian matrix in groups of 64 has an error of 0.0949 of its deviation; absmax / 7 has 0.1072.
// With a zero point: value = (code - zero) * scale, and the group's range is cut into 15 steps.
#pragma once

#include "simd/math.hpp"

namespace lowbit::LOWBIT_ISA {

inline constexpr float kInt4Values[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

struct Int4 {
  static constexpr int kColumnsPerLine = 8;
  static constexpr bool kTakesZeros = true;
  static constexpr bool kSignedScale = true;
  static constexpr int kLeast = -8, kMost = 7;

  static F32 scale(F32 extreme) { return extreme * set1(-0.125f); }
  static F32 inverse(F32 extreme) { return finite_or_zero(set1(-8.0f) / extreme); }
  static F32 inverse_of(F32 scale) { return finite_or_zero(set1(1.0f) / scale); }
  // Codes less 8, which `recode` adds. The inverse of the extreme has nothing below -8.
  template <bool cut = false>
  I32 encode(F32 x, F32 inverse) const {
    const F32 v = x * inverse;
    return to_int(min(cut ? max(v, set1(-8.0f)) : v, set1(7.0f)));
  }
  template <int column>
  static I32 place(I32 line, I32 code) {
    constexpr int shift = column < 4 ? 8 * column : 8 * (column - 4) + 4;
    return merge(line, shift_left<shift>(code), set1i(0xf << shift));
  }
  template <int first>
  void decode(I32 line, F32 (&out)[4]) const {
    lookup_nibbles<first>(values, line, out);
  }
  static I32 recode(I32 line) { return line ^ set1i(static_cast<int32_t>(0x88888888)); }
  ByteTable16 values = load_byte_table(kInt4Values);
  static constexpr float integer_unit() { return 1.0f; }
  template <int first>
  Nibbles integers(I32 line) const {
    return {shift_right<first>(line) & set1i(0x0f0f0f0f)};
  }
};

}  // namespace lowbit::LOWBIT_ISA
