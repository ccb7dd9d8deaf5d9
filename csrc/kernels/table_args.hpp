// Arguments of the kernels of embedding tables: rows read, summed, and trained.
#pragma once

#include "core/views.hpp"
#include "formats/table.hpp"

namespace lowbit {

// out[m] = word[ids[m]] + position[position_ids[m]] + type[type_ids[m]]; only `word` is required.
struct EmbedArgs {
  TableView word;
  const int32_t* ids;
  int64_t id_count;  // all there are: rows of the next part are asked for, too
  MatrixView<const float> position;
  const int32_t* position_ids;
  MatrixView<const float> type;
  const int32_t* type_ids;
  MatrixView<float> out;  // each row aligned to 64 bytes to be streamed
  bool stream;
  int64_t row_begin, row_end;
};

// out[b] = the sum of weights[i] table[ids[i]] for i from indptr[b] to indptr[b + 1], in this
// order; or their mean. An empty bag gives zeros.
struct EmbedBagArgs {
  TableView table;
  const int32_t* ids;
  int64_t id_count;
  const int64_t* indptr;
  const float* weights;  // [id_count], or null for ones
  bool mean;
  MatrixView<float> out;  // each row aligned to 64 bytes to be streamed
  bool stream;
  int64_t bag_begin, bag_end;
};

// Rows of a table to int8 with one scale a row: scale = absmax / 127.
struct QuantizeRowsArgs {
  MatrixView<const float> source;
  int8_t* codes;
  float* scales;
  int64_t row_begin, row_end;
};

// Over flat arrays, as AdamwArgs:
//   buffer = momentum buffer + g, p = p - lr buffer; or p = p - lr g where there is no buffer
struct SgdArgs {
  float* parameters;
  const float* gradients;
  float* buffer;  // or null
  float lr, momentum;
  int64_t begin, end;
};

//   squares = squares + g^2, p = p - lr g / (sqrt(squares) + eps)
struct AdagradArgs {
  float* parameters;
  const float* gradients;
  float* squares;
  float lr, eps;
  int64_t begin, end;
};

}  // namespace lowbit
