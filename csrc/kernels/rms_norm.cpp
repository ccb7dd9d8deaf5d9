// Root mean square normalization of rows (Zhang and Sennrich, 2019), and its backward.
#include "kernels/encoder_args.hpp"
#include "kernels/rows.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// 1 / sqrt(mean(x^2) + eps)
F32 inverse_root(const float* x, int64_t columns, float eps) {
  F32 square = zero();
  for_columns(columns, [&](int64_t c, int lanes) {
    const F32 v = read(x + c, lanes);
    square = fma(v, v, square);
  });
  const float mean = reduce_add(square) * (1.0f / static_cast<float>(columns));
  return set1(1.0f) / sqrt(set1(mean + eps));
}

}  // namespace

void rms_norm(const RmsNormArgs& a) noexcept {
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const float* x = a.x.row(r);
    const F32 rstd = inverse_root(x, a.x.cols, a.eps);
    float* y = a.y.row(r);
    for_columns(a.x.cols, [&](int64_t c, int lanes) {
      write(y + c, read(x + c, lanes) * rstd * read(a.gamma + c, lanes), lanes);
    });
  }
}

// With xhat = x rstd and g = dy gamma: dx = rstd (g - xhat mean(g xhat)).
void rms_norm_backward(const RmsNormBackwardArgs& a) noexcept {
  const F32 inverse = set1(1.0f / static_cast<float>(a.x.cols));
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const float *dy = a.dy.row(r), *x = a.x.row(r);
    const F32 rstd = inverse_root(x, a.x.cols, a.eps);
    F32 dot = zero();
    for_columns(a.x.cols, [&](int64_t c, int lanes) {
      const F32 g = read(dy + c, lanes) * read(a.gamma + c, lanes);
      dot = fma(g, read(x + c, lanes) * rstd, dot);
    });
    const F32 along = set1(reduce_add(dot)) * inverse;
    float* dx = a.dx.row(r);
    for_columns(a.x.cols, [&](int64_t c, int lanes) {
      const F32 g = read(dy + c, lanes) * read(a.gamma + c, lanes);
      write(dx + c, rstd * (g - read(x + c, lanes) * rstd * along), lanes);
    });
  }
}

}  // namespace lowbit::LOWBIT_ISA
