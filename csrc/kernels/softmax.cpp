// Softmax of rows, and its backward.
#include <cmath>

#include "kernels/encoder_args.hpp"
#include "kernels/rows.hpp"
#include "simd/math.hpp"

namespace lowbit::LOWBIT_ISA {

void softmax(const SoftmaxArgs& a) noexcept {
  const int64_t columns = a.x.cols;
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const float* x = a.x.row(r);
    float* y = a.y.row(r);
    F32 top = set1(-INFINITY);
    for_columns(columns, [&](int64_t c, int lanes) {
      top = max(top, read_padded(x + c, lanes, -INFINITY));
    });
    const F32 highest = set1(reduce_max(top));
    F32 sum = zero();
    for_columns(columns, [&](int64_t c, int lanes) {
      const F32 e = exp(read_padded(x + c, lanes, -INFINITY) - highest);
      write(y + c, e, lanes);
      sum = sum + e;
    });
    const F32 inverse = set1(1.0f) / set1(reduce_add(sum));
    for_columns(columns,
                [&](int64_t c, int lanes) { write(y + c, read(y + c, lanes) * inverse, lanes); });
  }
}

// dx = y (dy - sum(dy y))
void softmax_backward(const SoftmaxBackwardArgs& a) noexcept {
  const int64_t columns = a.y.cols;
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const float *dy = a.dy.row(r), *y = a.y.row(r);
    F32 dot = zero();
    for_columns(columns, [&](int64_t c, int lanes) {
      dot = fma(read(dy + c, lanes), read(y + c, lanes), dot);
    });
    const F32 total = set1(reduce_add(dot));
    float* dx = a.dx.row(r);
    for_columns(columns, [&](int64_t c, int lanes) {
      write(dx + c, read(y + c, lanes) * (read(dy + c, lanes) - total), lanes);
    });
  }
}

}  // namespace lowbit::LOWBIT_ISA
