// An int4 table whose rows lie one after the other, each with its scales: quicker to look up than
// the blocks of a packed matrix, and the same numbers.
#pragma once

#include "core/memory.hpp"
#include "formats/table.hpp"
#include "ops/packed_matrix.hpp"

namespace lowbit::ops {

struct Int4Rows {
  int64_t rows = 0, cols = 0, group_size = 0, groups = 0, row_bytes = 0;
  Memory<uint8_t> bytes;  // [rows, row_bytes], as formats/table.hpp says

  TableView view() const;
  int64_t nbytes() const { return rows * row_bytes; }
};

// Whether a matrix can be stored so: symmetric int4 whose scales are floats, one a row or a group.
bool fits_int4_rows(const PackedMatrix& matrix);

Int4Rows int4_rows(const PackedMatrix& matrix);  // throws ArgumentError unless it fits
PackedMatrix packed_matrix(const Int4Rows& rows);

}  // namespace lowbit::ops
