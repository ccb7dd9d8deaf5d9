// The row pairs of simd.hpp where no instruction multiplies matrices of bytes: row by row.
#pragma once

#include <cstdint>
#include <cstring>

namespace lowbit::LOWBIT_ISA {

inline constexpr bool kFastRowPairs = false;

template <class Weights>
struct RowPairs { Weights first, next; };
template <class Weights>
struct PairSums { Sum<Weights> first, second; };

template <class Weights>
inline RowPairs<Weights> row_pairs(Weights first, Weights next) {
  return {first, next};
}
template <class Weights>
inline PairSums<Weights> no_pair_sums() {
  return {no_sum<Weights>(), no_sum<Weights>()};
}
template <class Weights>
inline PairSums<Weights> add_products(PairSums<Weights> sums, const RowPairs<Weights>& w,
                                      const int8_t* first, const int8_t* next) {
  int32_t a[2], b[2];
  std::memcpy(a, first, sizeof a);
  std::memcpy(b, next, sizeof b);
  sums.first = add_products(add_products(sums.first, w.first, set1i(a[0])), w.next, set1i(b[0]));
  sums.second = add_products(add_products(sums.second, w.first, set1i(a[1])), w.next, set1i(b[1]));
  return sums;
}
template <int row, class Weights>
inline I32 widen(const PairSums<Weights>& sums) {
  return widen(row == 0 ? sums.first : sums.second);
}

}  // namespace lowbit::LOWBIT_ISA
