// Formats of 16 levels: value = levels[code] * scale. They share all code; what differs is a table.
#pragma once

#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

// `order` has the code of each rank, from the lowest level to the highest. A value takes the
// nearest level; half-way between two the lower, or the one nearer to zero.
struct LevelTable {
  float levels[16] = {};      // by code
  int8_t order[16] = {};      // by rank
  float thresholds[16] = {};  // values beyond thresholds[i] have a rank above i
  int8_t integers[16] = {};   // by code: levels / unit, rounded
  float unit;
  bool in_order = true;  // whether a code is its rank
  bool powers_of_two;    // whether scales are, so that E2M1's largest binade holds the extreme
  float least_scale;     // keeps inverses finite

  constexpr LevelTable(const float (&values)[16], const int8_t (&codes)[16], int ranks,
                       float integer_unit, bool ties_to_zero, bool has_powers_of_two,
                       float least)
      : unit(integer_unit), powers_of_two(has_powers_of_two), least_scale(least) {
    for (int i = 0; i < 16; ++i) {
      levels[i] = values[i], order[i] = codes[i];
      const float ratio = values[i] / unit;
      integers[i] = static_cast<int8_t>(ratio + (ratio < 0 ? -0.5f : 0.5f));
      if (codes[i] != i) in_order = false;
    }
    for (int i = 0; i < 16; ++i) {
      const bool last = i + 1 >= ranks;  // no value is beyond this
      float middle = last ? 3e38f : (values[codes[i]] + values[codes[i + 1]]) * 0.5f;
      // The next float below, so that the middle itself is beyond it.
      if (ties_to_zero && middle < 0)
        middle = __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, middle) + 1);
      thresholds[i] = middle;
    }
  }
};

class Levels {
 public:
  static constexpr int kColumnsPerLine = 8;
  static constexpr bool kTakesZeros = false;
  static constexpr bool kSignedScale = false;

  explicit Levels(const LevelTable& t)
      : levels_(load_byte_table(t.levels)),
        thresholds_(load_table(t.thresholds)),
        order_(load_bytes16(t.order)),
        integers_(load_bytes16(t.integers)),
        unit_(t.unit),
        least_scale_(t.least_scale),
        in_order_(t.in_order),
        powers_of_two_(t.powers_of_two) {}

  // absmax, so that it is the level 1 or -1; or the power of two with which it lies in 4..8.
  F32 scale(F32 magnitude) const {
    if (!powers_of_two_) return magnitude;
    const F32 power = from_bits(bits(magnitude) & set1i(0x7f800000));
    return max(power * set1(0.25f), set1(least_scale_));
  }
  F32 inverse(F32 magnitude) const { return inverse_of(scale(magnitude)); }
  F32 inverse_of(F32 scale) const { return set1(1.0f) / max(scale, set1(least_scale_)); }

  // The rank of the nearest level, by binary search for the number of thresholds below: four
  // look-ups instead of 15 comparisons.
  template <bool cut>
  I32 encode(F32 x, F32 inverse) const {
    const F32 v = x * inverse;
    I32 rank = step<8>(set1i(0), v);
    rank = step<4>(rank, v);
    rank = step<2>(rank, v);
    return step<1>(rank, v);
  }
  template <int column>
  static I32 place(I32 line, I32 rank) {
    return line | shift_left<column < 4 ? 8 * column : 8 * (column - 4) + 4>(rank);
  }
  // A line of ranks as one of codes.
  I32 recode(I32 line) const {
    if (in_order_) return line;
    const I32 nibble = set1i(0x0f0f0f0f);
    return lookup_i8(order_, line & nibble) |
           shift_left<4>(lookup_i8(order_, shift_right<4>(line) & nibble));
  }
  template <int first>
  void decode(I32 line, F32 (&out)[4]) const {
    lookup_nibbles<first>(levels_, line, out);
  }
  template <int first>
  SignedBytes integers(I32 line) const {
    return signed_bytes(lookup_i8(integers_, shift_right<first>(line) & set1i(0x0f0f0f0f)));
  }
  float integer_unit() const { return unit_; }

 private:
  template <int size>
  I32 step(I32 rank, F32 v) const {
    const F32 threshold = lookup16(thresholds_, rank + set1i(size - 1));
    return rank + bits(select_less(threshold, v, from_bits(set1i(size)), zero()));
  }

  ByteTable16 levels_;
  Table16 thresholds_;
  Bytes16 order_, integers_;
  float unit_, least_scale_;
  bool in_order_, powers_of_two_;
};

}  // namespace lowbit::LOWBIT_ISA
