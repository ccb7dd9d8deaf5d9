// Arguments of the kernels that find nearest rows.
#pragma once

#include <cstdint>

#include "core/views.hpp"

namespace lowbit {

// Rows to int8 with one scale a row, as the lines of a packed weight: each value times the row's
// factor, to nearest even.
struct RoundRowsArgs {
  MatrixView<const float> rows;  // finite
  const float* factors;  // [rows]; null to take 127 / the largest magnitude, 0 if not finite,
  float* found;          // which is written here, [rows]
  uint8_t* lines;        // [blocks of 16 rows][ceil(cols / 4)][64], as WeightView::data
};

// out[i] is the dot product of the query with row rows[i] of the table, or their squared distance,
// summed in double: column k belongs to lane k % 16, a lane adds in the order of the columns, and
// lanes are added as reduce_add does.
struct ScoreRowsArgs {
  const float* query;              // [table.cols]
  MatrixView<const float> table;
  const int32_t* rows;             // [count]
  int64_t count;
  bool distances;
  double* out;  // [count]
};

// What is known of a product of a query with a row: it is at most
//   sum + offset + of_radius * radius + of_size * size
// and rows for which that is less than `least` are no answer. All of it in float32.
struct ProductBound {
  float of_radius, of_size, least;
};

// Marks the columns of `sums` that may be answers: bit i of masks[query][j] is column 16 j + i.
struct SelectRowsArgs {
  MatrixView<const float> sums;  // [queries, columns], with room for whole 16 columns
  const float* offsets;          // of each column, as are the next two; null without any
  const float* radii;            // null without any
  const float* sizes;
  const ProductBound* bounds;  // of each query
  uint16_t* masks;             // [queries, mask_stride]
  int64_t mask_stride;
};

}  // namespace lowbit
