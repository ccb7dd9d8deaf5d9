// Low-rank adapters as operations see them, and the small products they are made of.
#pragma once

#include "core/random.hpp"
#include "core/views.hpp"
#include "formats/weight.hpp"
#include "ops/matmul.hpp"

namespace lowbit::ops {

// The adapter of one layer, as PEFT stores it: a [rank, K], b [N, rank].
struct LowRank {
  MatrixView<const float> a;
  MatrixView<const float> b;
  float scale = 1;
  DropoutMask dropout;  // of the input of `a`

  explicit operator bool() const { return static_cast<bool>(a); }
};

// ArgumentError unless rank, shapes and dropout fit the weight.
void check_low_rank(const char* function, const LowRank& lora, const WeightView& w);

inline WeightView dense(MatrixView<const float> m) {
  return dense_weight(m.data, m.rows, m.cols, m.stride);
}

// y = scale * x W^T, or scale * x W when transposed: one of the adapter's products.
MatmulArgs narrow(const Product& product, bool transposed, float scale, MatrixView<float> y);

// Runs one by itself. They are small, and integers leave them in float32.
void matmul_narrow(const MatmulArgs& args, Compute compute);

// db = dy^T xa and da = dyb^T x, the gradients of the adapter's two matrices, with dyb = scale dy b
// and xa = scale x a^T. The few rows of the rank are the rows of the product, the many of the batch
// its depth.
void low_rank_gradients(MatrixView<const float> dy, MatrixView<const float> dyb,
                        MatrixView<const float> x, MatrixView<const float> xa,
                        MatrixView<float> da, MatrixView<float> db, Compute compute);

}  // namespace lowbit::ops
