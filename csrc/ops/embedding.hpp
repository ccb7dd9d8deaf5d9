// Embedding tables: rounding their rows, reading them, summing them with positions and types, and
// in bags.
#pragma once

#include <string>

#include "core/memory.hpp"
#include "core/views.hpp"
#include "formats/table.hpp"

namespace lowbit::ops {

// Ids of rows, in 32 or 64 bits.
struct Ids {
  const int32_t* narrow = nullptr;
  const int64_t* wide = nullptr;  // instead
  int64_t size = 0;
};

// The same in 32 bits, checked: throws RangeError naming the first id that is no row, and where it
// stands. `table` is the word before "id".
class RowIds {
 public:
  RowIds(const char* function, const char* table, const Ids& ids, int64_t rows);
  const int32_t* data() const { return data_; }

 private:
  Memory<int32_t> narrowed_;
  const int32_t* data_;
};

// Rows that an id picks; the position or type table may be absent.
struct Lookup {
  MatrixView<const float> table;
  VectorView<const int32_t> ids;

  explicit operator bool() const { return static_cast<bool>(table); }
};

// out[m] = word[ids[m]] (+ type[type ids[m]]) (+ position[position ids[m]]).
void embed(const TableView& word, const Ids& ids, const Lookup& position, const Lookup& type,
           MatrixView<float> out);

// Flat ids of all bags: bag b is those from indptr[b] to indptr[b + 1]. Weights, one for each id,
// may be absent; they go with mode "sum".
struct Bags {
  Ids ids;
  VectorView<const int64_t> indptr;
  VectorView<const float> weights;
  std::string mode;  // "sum" or "mean"
};

// Throws when a bag's parts do not fit together.
void check_bags(const char* function, const Bags& bags);

// out[b] = the sum of weights[i] table[ids[i]] over the bag, or the mean; an empty one gives zeros.
void embed_bag(const TableView& table, const Bags& bags, MatrixView<float> out);

// Rows to int8 with one scale a row, as formats/int8.hpp rounds.
void quantize_rows_int8(MatrixView<const float> source, int8_t* codes, float* scales);

}  // namespace lowbit::ops
