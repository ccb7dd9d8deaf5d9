// Gradients of embedding tables: only the rows that were read have one.
#pragma once

#include "core/memory.hpp"
#include "core/views.hpp"
#include "ops/embedding.hpp"

namespace lowbit::ops {

// Row rows[i] of the table has the gradient values[i * cols ...]. Rows ascend, each comes once. A
// gradient is a sum in the order of the ids, so its bits do not depend on the threads.
struct RowGradient {
  int64_t count = 0, cols = 0;
  Memory<int32_t> rows;
  Memory<float> values;
};

// Of a table with `rows` rows whose embed(ids) has the gradient dout [ids, cols].
RowGradient embed_backward(MatrixView<const float> dout, const Ids& ids, int64_t rows);

// The same of embed_bag(bags), whose gradient is dout [bags, cols].
RowGradient embed_bag_backward(MatrixView<const float> dout, const Bags& bags, int64_t rows);

}  // namespace lowbit::ops
