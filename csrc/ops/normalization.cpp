#include "ops/normalization.hpp"

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {

void layer_norm(MatrixView<const float> x, MatrixView<const float> residual,
                VectorView<const float> gamma, VectorView<const float> beta, float eps,
                MatrixView<float> y, MatrixView<float> h, VectorView<float> mean,
                VectorView<float> rstd) {
  check(x.cols >= 1, "layer_norm: x has no columns");
  check(eps > 0, "layer_norm: eps=", eps, " must be above 0");
  check_size("layer_norm", "gamma", gamma, x.cols);
  check_size("layer_norm", "beta", beta, x.cols);
  check_shape("layer_norm", "y", y, x.rows, x.cols);
  if (residual) {
    check_shape("layer_norm", "residual", residual, x.rows, x.cols);
    check_shape("layer_norm", "h", h, x.rows, x.cols);
  }
  check_size("layer_norm", "mean", mean, x.rows);
  check_size("layer_norm", "rstd", rstd, x.rows);
  Trace trace("layer_norm", "M", x.rows, "D", x.cols);
  parallel_for(x.rows, row_grain(x.cols), [&](int64_t begin, int64_t end) {
    kernels().layer_norm({x, residual, gamma.data, beta.data, eps, h, y, mean.data, rstd.data,
                          begin, end});
  });
}

void layer_norm_backward(MatrixView<const float> dy, MatrixView<const float> h,
                         VectorView<const float> mean, VectorView<const float> rstd,
                         VectorView<const float> gamma, MatrixView<float> dh) {
  check_shape("layer_norm_backward", "dy", dy, h.rows, h.cols);
  check_shape("layer_norm_backward", "dh", dh, h.rows, h.cols);
  check_size("layer_norm_backward", "mean", mean, h.rows);
  check_size("layer_norm_backward", "rstd", rstd, h.rows);
  check_size("layer_norm_backward", "gamma", gamma, h.cols);
  Trace trace("layer_norm_backward", "M", h.rows, "D", h.cols);
  parallel_for(h.rows, row_grain(h.cols), [&](int64_t begin, int64_t end) {
    kernels().layer_norm_backward({dy, h, mean.data, rstd.data, gamma.data, dh, begin, end});
  });
}

}  // namespace lowbit::ops
