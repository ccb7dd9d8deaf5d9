// Linear layers over weights of any format, with a low-rank adapter in the same pass.
#pragma once

#include <string>

#include "ops/low_rank.hpp"

namespace lowbit::ops {

// y = x W^T + bias + residual + scale * (dropout(x) a^T) b^T for x [M, K], W [N, K], y [M, N].
// xa [M, rank] receives scale * dropout(x) a^T, which the backward needs; null without an adapter.
//
// compute: "fp32" multiplies the stored weights exactly. "bf16" rounds both sides of every product
// of the call to bfloat16 and sums in float32: y is off by about 2^-9 of the norm of its terms, at
// most 2^-7 of their sum of magnitudes; it needs bf16 tiles. "auto" takes bf16 where there are
// tiles and rows enough (ops/matmul.hpp). "int8" rounds x as `rounding` says.
void linear_forward(MatrixView<const float> x, const WeightView& w, VectorView<const float> bias,
                    MatrixView<const float> residual, const LowRank& lora, MatrixView<float> y,
                    MatrixView<float> xa, const std::string& compute = "fp32",
                    const Int8Rounding& rounding = {});

struct LinearGradients {
  MatrixView<float> dx;              // [M, K], or null when the input needs no gradient
  MatrixView<const float> residual;  // [M, K] added to dx, or null: the gradient of a side branch
  MatrixView<float> da;  // [rank, K], null without an adapter
  MatrixView<float> db;  // [N, rank]
};

// dx = dy W + scale * dropout'(dy b a) + residual, da = scale * (dy b)^T dropout(x), db = dy^T xa,
// from the stored codes of W: no dense copy of W is made. compute as in the forward.
void linear_backward(MatrixView<const float> dy, MatrixView<const float> x,
                     MatrixView<const float> xa, const WeightView& w, const LowRank& lora,
                     const LinearGradients& gradients, const std::string& compute = "fp32");

// out = x * mask / (1 - p); in place is allowed.
void dropout(MatrixView<const float> x, const DropoutMask& mask, MatrixView<float> out);

}  // namespace lowbit::ops
