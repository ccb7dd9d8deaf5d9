// Embedding tables: rounding their rows, reading them, summing them with positions and types.
#pragma once

#include "core/views.hpp"
#include "formats/table.hpp"

namespace lowbit::ops {

// Rows that an id picks; the position or type table may be absent.
struct Lookup {
  MatrixView<const float> table;
  VectorView<const int32_t> ids;

  explicit operator bool() const { return static_cast<bool>(table); }
};

// out[m] = word[ids[m]] (+ type[type ids[m]]) (+ position[position ids[m]]). Throws RangeError
// naming the first id that is no row of its table.
void embed(const TableView& word, VectorView<const int32_t> ids, const Lookup& position,
           const Lookup& type, MatrixView<float> out);

// Rows to int8 with one scale a row, as formats/int8.hpp rounds.
void quantize_rows_int8(MatrixView<const float> source, int8_t* codes, float* scales);

}  // namespace lowbit::ops
