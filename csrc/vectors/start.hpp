// Vectors before training.
#pragma once

#include <cstdint>

#include "core/views.hpp"

namespace lowbit::vectors {

// The first `dim` values of rows [row_begin, table.rows): uniform in +-1 / dim, each a function
// of the seed and its place in a table of `dim` columns; the others are zero.
void start_vectors(MatrixView<float> table, int64_t dim, uint64_t seed, int64_t row_begin);

}  // namespace lowbit::vectors
