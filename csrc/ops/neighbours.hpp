// The rows of a table that are nearest to queries: exact, whatever the products in between.
//
// Products in few bits, or in float32, with a bound of what they may lack, leave few rows of a
// table that can be among the k best; these are scored in double, and the k best so far are the
// bound for the rows that follow. So the answer depends on the scores alone, not on the format, the
// instruction set, threads or tiles.
#pragma once

#include "core/views.hpp"
#include "ops/neighbour_table.hpp"

namespace lowbit::ops {

// For each query the k best of the first `limit` rows: best first, and of equal scores
// the lower row. Scores are rounded from double to float32 before they are compared:
//
//   dot        q . x
//   cosine     q . x / (|q| |x|), and 0 where one of them is zero
//   euclidean  |q - x|, the least first
//
// Returns how many rows were scored. ArgumentError when shapes do not fit, a query is not finite,
// there are fewer rows than asked for, or a score would be infinite.
int64_t nearest(const NeighbourTable& table, MatrixView<const float> queries, int64_t k,
                int64_t limit, MatrixView<float> scores, MatrixView<int64_t> rows);

}  // namespace lowbit::ops
