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

void rms_norm(MatrixView<const float> x, VectorView<const float> gamma, float eps,
              MatrixView<float> y) {
  check(x.cols >= 1, "rms_norm: x has no columns");
  check(eps >= 0, "rms_norm: eps=", eps, " must not be negative");
  check_size("rms_norm", "gamma", gamma, x.cols);
  check_shape("rms_norm", "y", y, x.rows, x.cols);
  Trace trace("rms_norm", "M", x.rows, "D", x.cols);
  parallel_for(x.rows, row_grain(x.cols), [&](int64_t begin, int64_t end) {
    kernels().rms_norm({x, gamma.data, eps, y, begin, end});
  });
}

void rms_norm_backward(MatrixView<const float> dy, MatrixView<const float> x,
                       VectorView<const float> gamma, float eps, MatrixView<float> dx) {
  check(x.cols >= 1, "rms_norm_backward: x has no columns");
  check_shape("rms_norm_backward", "dy", dy, x.rows, x.cols);
  check_shape("rms_norm_backward", "dx", dx, x.rows, x.cols);
  check_size("rms_norm_backward", "gamma", gamma, x.cols);
  Trace trace("rms_norm_backward", "M", x.rows, "D", x.cols);
  parallel_for(x.rows, row_grain(x.cols), [&](int64_t begin, int64_t end) {
    kernels().rms_norm_backward({dy, x, gamma.data, eps, dx, begin, end});
  });
}

void softmax(MatrixView<const float> x, MatrixView<float> y) {
  check_shape("softmax", "y", y, x.rows, x.cols);
  Trace trace("softmax", "M", x.rows, "D", x.cols);
  parallel_for(x.rows, row_grain(x.cols), [&](int64_t begin, int64_t end) {
    kernels().softmax({x, y, begin, end});
  });
}

void softmax_backward(MatrixView<const float> dy, MatrixView<const float> y,
                      MatrixView<float> dx) {
  check_shape("softmax_backward", "dy", dy, y.rows, y.cols);
  check_shape("softmax_backward", "dx", dx, y.rows, y.cols);
  Trace trace("softmax_backward", "M", y.rows, "D", y.cols);
  parallel_for(y.rows, row_grain(y.cols), [&](int64_t begin, int64_t end) {
    kernels().softmax_backward({dy, y, dx, begin, end});
  });
}

}  // namespace lowbit::ops
