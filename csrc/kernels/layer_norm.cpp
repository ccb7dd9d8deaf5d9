// Layer normalization (Ba et al., 2016) of rows, with the residual sum in front of it.
//
// The variance is summed from the differences to the mean, which is exact where the shorter formula
// E[x^2] - E[x]^2 cancels.
#include "kernels/encoder_args.hpp"
#include "kernels/rows.hpp"

namespace lowbit::LOWBIT_ISA {

void layer_norm(const LayerNormArgs& a) noexcept {
  const int64_t columns = a.x.cols;
  const float inverse = 1.0f / static_cast<float>(columns);
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const float* h = a.x.row(r);
    F32 sum = zero();
    if (a.residual) {
      const float* residual = a.residual.row(r);
      float* out = a.h.row(r);
      for_columns(columns, [&](int64_t c, int lanes) {
        const F32 v = read(h + c, lanes) + read(residual + c, lanes);
        write(out + c, v, lanes);
        sum = sum + v;
      });
      h = out;
    } else {
      for_columns(columns, [&](int64_t c, int lanes) { sum = sum + read(h + c, lanes); });
    }
    const float mean = reduce_add(sum) * inverse;
    const F32 mean16 = set1(mean);
    F32 square = zero();
    for_columns(columns, [&](int64_t c, int lanes) {
      const F32 d = read_padded(h + c, lanes, mean) - mean16;
      square = fma(d, d, square);
    });
    const F32 rstd = set1(1.0f) / sqrt(set1(reduce_add(square) * inverse + a.eps));
    float* y = a.y.row(r);
    for_columns(columns, [&](int64_t c, int lanes) {
      const F32 normal = (read(h + c, lanes) - mean16) * rstd;
      write(y + c, fma(normal, read(a.gamma + c, lanes), read(a.beta + c, lanes)), lanes);
    });
    a.mean[r] = mean;
    store_first(a.rstd + r, rstd, 1);
  }
}

// With xhat = (h - mean) rstd and g = dy gamma: dh = rstd (g - mean(g) - xhat mean(g xhat)).
void layer_norm_backward(const LayerNormBackwardArgs& a) noexcept {
  const int64_t columns = a.h.cols;
  const F32 inverse = set1(1.0f / static_cast<float>(columns));
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const float *dy = a.dy.row(r), *h = a.h.row(r);
    const F32 mean = set1(a.mean[r]), rstd = set1(a.rstd[r]);
    F32 sum = zero(), dot = zero();
    for_columns(columns, [&](int64_t c, int lanes) {
      const F32 g = read(dy + c, lanes) * read(a.gamma + c, lanes);
      const F32 xhat = (read(h + c, lanes) - mean) * rstd;
      sum = sum + g;
      dot = fma(g, xhat, dot);
    });
    const F32 g_mean = set1(reduce_add(sum)) * inverse;
    const F32 dot_mean = set1(reduce_add(dot)) * inverse;
    float* dh = a.dh.row(r);
    for_columns(columns, [&](int64_t c, int lanes) {
      const F32 g = read(dy + c, lanes) * read(a.gamma + c, lanes);
      const F32 xhat = (read(h + c, lanes) - mean) * rstd;
      write(dh + c, rstd * (g - g_mean - xhat * dot_mean), lanes);
    });
  }
}

}  // namespace lowbit::LOWBIT_ISA
