// The changes that shards made to copies of rows, added in the order of the shards.
#include "kernels/vector_args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

constexpr int64_t kAhead = 10;  // rows that are fetched

void merge_rows(const MergeRowsArgs& a) noexcept {
  for (int64_t i = 0; i < a.copies.rows; ++i) {
    if (i + kAhead < a.copies.rows) {
      const float* next = a.table.row(a.rows[i + kAhead]);
      for (int64_t c = 0; c < a.table.stride; c += kLanes) __builtin_prefetch(next + c, 1);
    }
    const int32_t number = a.rows[i];
    if ((number & a.mask) != a.part) continue;
    const F32 weight = set1(a.weights[i]);
    float *copy = a.copies.row(i), *row = a.table.row(number);
    if (a.merged_in[number] != a.epoch) {
      a.merged_in[number] = a.epoch;
      a.before[number] = copy;
      for (int64_t c = 0; c < a.table.stride; c += kLanes) {
        const F32 was = load(row + c);
        store(row + c, fma(weight, load(copy + c) - was, was));
        store(copy + c, was);
      }
      continue;
    }
    const float* before = a.before[number];
    for (int64_t c = 0; c < a.table.stride; c += kLanes)
      store(row + c, fma(weight, load(copy + c) - load(before + c), load(row + c)));
  }
}

}  // namespace lowbit::LOWBIT_ISA
