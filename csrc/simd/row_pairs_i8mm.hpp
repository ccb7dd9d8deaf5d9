// The row pairs of simd.hpp with the matrix products of AArch64's i8mm: one instruction multiplies
// two rows of eight bytes with two others and adds to a square of four sums.
#pragma once

#include "simd/neon.hpp"

namespace lowbit::LOWBIT_ISA {

inline constexpr bool kFastRowPairs = true;

// q[i] has eight bytes of row 2 i of the weights, then eight of row 2 i + 1.
template <class Weights>
struct RowPairs { int8x16_t q[8]; };
// q[i]: the first row of x with rows 2 i and 2 i + 1 of the weights, then the second row of x.
template <class Weights>
struct PairSums { int32x4_t q[8]; };

template <class Weights>
inline RowPairs<Weights> row_pairs(Weights first, Weights next) {
  RowPairs<Weights> pairs;
  for (int i = 0; i < 4; ++i) {
    const int32x4_t a = first.bytes.q[i], b = next.bytes.q[i];
    pairs.q[2 * i] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
    pairs.q[2 * i + 1] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
  }
  return pairs;
}
template <class Weights>
inline PairSums<Weights> no_pair_sums() {
  PairSums<Weights> sums;
  for (int32x4_t& q : sums.q) q = vdupq_n_s32(0);
  return sums;
}
template <class Weights>
inline PairSums<Weights> add_products(PairSums<Weights> sums, const RowPairs<Weights>& w,
                                      const int8_t* first, const int8_t* next) {
  const int32x4_t a = vreinterpretq_s32_s8(vcombine_s8(vld1_s8(first), vdup_n_s8(0)));
  const int32x4_t b = vreinterpretq_s32_s8(vcombine_s8(vld1_s8(next), vdup_n_s8(0)));
  const int8x16_t x = vreinterpretq_s8_s32(vzip1q_s32(a, b));
  for (int i = 0; i < 8; ++i) sums.q[i] = vmmlaq_s32(sums.q[i], x, w.q[i]);
  return sums;
}
template <int row, class Weights>
inline I32 widen(const PairSums<Weights>& sums) {
  return detail::each<I32>([&](int i) {
    const int64x2_t a = vreinterpretq_s64_s32(sums.q[2 * i]);
    const int64x2_t b = vreinterpretq_s64_s32(sums.q[2 * i + 1]);
    return vreinterpretq_s32_s64(row == 0 ? vzip1q_s64(a, b) : vzip2q_s64(a, b));
  });
}

}  // namespace lowbit::LOWBIT_ISA
