// The changes that a thread made to its own copies of rows, added to a table that others change.
#include "kernels/vector_args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

constexpr int64_t kAhead = 4;  // rows that are fetched

void exchange_rows(const ExchangeRowsArgs& a) noexcept {
  const int64_t stride = a.table.stride;
  for (int64_t i = 0; i < a.table.rows; ++i) {
    float *row = a.table.row(i), *own = a.own + i * stride, *was = a.was + i * stride;
    if (i + kAhead < a.table.rows)
      for (int64_t c = 0; c < stride; c += kLanes)
        __builtin_prefetch(row + kAhead * stride + c, 1);
    const F32 weight = set1(a.weights[i]);
    for (int64_t c = 0; c < stride; c += kLanes) {
      const F32 now = fma(weight, load(own + c) - load(was + c), load(row + c));
      store(row + c, now), store(own + c, now), store(was + c, now);
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
