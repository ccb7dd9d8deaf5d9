// A linear layer whose rows belong to different adapters: requests of several users answered
// together, or several adapters trained at once. The base product is one for all rows.
#pragma once

#include <string>
#include <vector>

#include "ops/low_rank.hpp"

namespace lowbit::ops {

struct LowRankBatch {
  std::vector<LowRank> adapters;     // ranks may differ; their dropout must be off
  VectorView<const int32_t> of_row;  // [M]: the adapter of each row, or -1 for none

  // Rows of each adapter, and of none at the end. ArgumentError when an index is not one.
  std::vector<int64_t> count_rows(const char* function) const;
};

// y = x W^T + bias + residual, plus for the rows of adapter j: scale (x a^T) b^T. xa[j] [rows of j,
// rank of j] receives scale x a^T of its rows in their order, which the backward needs.
void linear_batch_forward(MatrixView<const float> x, const WeightView& w,
                          VectorView<const float> bias, MatrixView<const float> residual,
                          const LowRankBatch& batch, MatrixView<float> y,
                          const std::vector<MatrixView<float>>& xa, const std::string& compute,
                          const Int8Rounding& rounding = {});

struct LinearBatchGradients {
  MatrixView<float> dx;               // [M, K], or null
  std::vector<MatrixView<float>> da;  // [rank, K] of each adapter; zeros when it has no rows
  std::vector<MatrixView<float>> db;  // [N, rank]
};

void linear_batch_backward(MatrixView<const float> dy, MatrixView<const float> x,
                           const std::vector<MatrixView<const float>>& xa, const WeightView& w,
                           const LowRankBatch& batch, const LinearBatchGradients& gradients,
                           const std::string& compute);

}  // namespace lowbit::ops
