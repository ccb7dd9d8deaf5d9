// int8: value = code * scale with codes -127..127 (no -128, so that products of two codes never
// saturate 16 bits), scale = absmax / 127, codes rounded to nearest even. With a zero point:
// value = (code - zero) * scale, codes and zeros -128..127, and the group's range is cut into 255
// steps.
#pragma once

#include "simd/math.hpp"

namespace lowbit::LOWBIT_ISA {

struct Int8 {
  static constexpr int kColumnsPerLine = 4;
  static constexpr bool kTakesZeros = true;
  static constexpr bool kSignedScale = false;
  static constexpr int kLeast = -128, kMost = 127;  // with zero points

  static F32 scale(F32 magnitude) { return magnitude * set1(1.0f / 127.0f); }
  static F32 inverse(F32 magnitude) { return finite_or_zero(set1(127.0f) / magnitude); }
  static F32 inverse_of(F32 scale) { return finite_or_zero(set1(1.0f) / scale); }
  // The inverse of the largest magnitude leaves nothing to cut.
  template <bool cut = false>
  I32 encode(F32 x, F32 inverse) const {
    const F32 v = x * inverse;
    return to_int(cut ? min(max(v, set1(-127.0f)), set1(127.0f)) : v);
  }
  template <int column>
  static I32 place(I32 line, I32 code) {
    return merge(line, shift_left<8 * column>(code), set1i(0xff << 8 * column));
  }
  template <int first>
  void decode(I32 line, F32 (&out)[4]) const {
    out[0] = value<0>(line);
    out[1] = value<1>(line);
    out[2] = value<2>(line);
    out[3] = value<3>(line);
  }
  static I32 recode(I32 line) { return line; }
  static constexpr float integer_unit() { return 1.0f; }
  template <int first>
  SignedBytes integers(I32 line) const {
    return signed_bytes(line);
  }

 private:
  template <int column>
  static F32 value(I32 line) {
    return to_float(shift_right_signed<24>(shift_left<24 - 8 * column>(line)));
  }
};

}  // namespace lowbit::LOWBIT_ISA
