// Optimizers that change the rows that have a gradient, and what they keep of these rows; all other
// rows stay as they are, as with torch.optim.SparseAdam.
#pragma once

#include "core/views.hpp"

namespace lowbit::ops {

// Rows of a table, ascending, and their gradients [rows, cols].
struct RowUpdate {
  MatrixView<float> table;
  VectorView<const int32_t> rows;
  MatrixView<const float> gradients;
};

// `buffer`, like the table, may be absent when there is no momentum.
void sgd_rows(const RowUpdate& update, MatrixView<float> buffer, double lr, double momentum);

// `squares`, like the table: sums of squared gradients.
void adagrad_rows(const RowUpdate& update, MatrixView<float> squares, double lr, double eps);

struct SparseAdamOptions {
  double lr, beta1, beta2, eps;
  int64_t step;  // counted from 1
};

// As torch.optim.SparseAdam: `step` counts calls, not those of a row.
void adam_rows(const RowUpdate& update, MatrixView<float> m, MatrixView<float> v,
               const SparseAdamOptions& options);

}  // namespace lowbit::ops
