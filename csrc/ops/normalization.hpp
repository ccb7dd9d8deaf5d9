// Normalization of rows. gamma and beta are frozen.
#pragma once

#include "core/views.hpp"

namespace lowbit::ops {

// h = x + residual and y = (h - mean) / sqrt(variance + eps) * gamma + beta, row by row. Without a
// residual h is x itself and is not written. mean and rstd [M] are what the backward needs.
void layer_norm(MatrixView<const float> x, MatrixView<const float> residual,
                VectorView<const float> gamma, VectorView<const float> beta, float eps,
                MatrixView<float> y, MatrixView<float> h, VectorView<float> mean,
                VectorView<float> rstd);

// y = x / sqrt(mean(x^2) + eps) * gamma, row by row.
void rms_norm(MatrixView<const float> x, VectorView<const float> gamma, float eps,
              MatrixView<float> y);
void rms_norm_backward(MatrixView<const float> dy, MatrixView<const float> x,
                       VectorView<const float> gamma, float eps, MatrixView<float> dx);

// y = exp(x) / sum(exp(x)), row by row; the backward takes y.
void softmax(MatrixView<const float> x, MatrixView<float> y);
void softmax_backward(MatrixView<const float> dy, MatrixView<const float> y, MatrixView<float> dx);

// dh, the gradient of layer_norm's h.
void layer_norm_backward(MatrixView<const float> dy, MatrixView<const float> h,
                         VectorView<const float> mean, VectorView<const float> rstd,
                         VectorView<const float> gamma, MatrixView<float> dh);

}  // namespace lowbit::ops
