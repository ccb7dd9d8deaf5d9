// Products and squared distances in double precision, for the few rows of a table that may be the
// nearest. Sixteen lanes of plain C++, which the compiler makes vectors of: every element is
// computed by the same operations whatever their width, so the bits are the same everywhere. The
// product of two float32 is exact in double.
#include "core/views.hpp"
#include "kernels/neighbour_args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

template <bool distances>
inline double term(float q, float x) {
  const double a = q, b = x;
  if constexpr (distances)
    return (a - b) * (a - b);
  else
    return a * b;
}

template <bool distances>
double score(const float* q, const float* x, int64_t columns) {
  double lanes[kLanes] = {};
  int64_t k = 0;
  for (; k + kLanes <= columns; k += kLanes)
    for (int i = 0; i < kLanes; ++i) lanes[i] += term<distances>(q[k + i], x[k + i]);
  for (int i = 0; k + i < columns; ++i) lanes[i] += term<distances>(q[k + i], x[k + i]);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

// Rows lie anywhere in memory: the next one is asked for while one is read.
void prefetch_row(const float* row, int64_t columns) {
  for (int64_t k = 0; k < columns; k += kLanes) __builtin_prefetch(row + k);
}

}  // namespace

void score_rows(const ScoreRowsArgs& a) noexcept {
  const int64_t columns = a.table.cols;
  for (int64_t i = 0; i < a.count; ++i) {
    if (i + 1 < a.count) prefetch_row(a.table.row(a.rows[i + 1]), columns);
    const float* row = a.table.row(a.rows[i]);
    a.out[i] = a.distances ? score<true>(a.query, row, columns)
                           : score<false>(a.query, row, columns);
  }
}

}  // namespace lowbit::LOWBIT_ISA
