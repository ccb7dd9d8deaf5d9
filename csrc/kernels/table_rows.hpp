// Rows of an embedding table as floats, 16 columns at a time. One class for each way to store them:
//
//   Row, find(id, row)          where a row is
//   read(row, column, lanes)    16 values from `column` on, which is a multiple of 16, or the first
//                               `lanes` of them; other lanes are unspecified. Columns of a row are
//                               asked for in their order
//   prefetch(id, column)        asks for the line that begins with `column`, a multiple of
//                               kLineColumns
//
// Lines are asked for into the second-level cache, which waits for more of them at a time than the
// first.
#pragma once

#include "formats/dense.hpp"
#include "formats/format.hpp"
#include "formats/panel.hpp"
#include "formats/table.hpp"
#include "kernels/rows.hpp"

namespace lowbit::LOWBIT_ISA {

//
// GCC takes a function that does nothing but ask for lines for one without any effect and leaves
// its calls out, unless it is inlined before: so they all are, always.
#define LOWBIT_ALWAYS_INLINE [[gnu::always_inline]] inline

LOWBIT_ALWAYS_INLINE void prefetch_line(const void* p) { __builtin_prefetch(p, 0, 2); }

template <class Dense>
class DenseRows {
 public:
  using Element = typename Dense::Element;
  using Row = const Element*;
  static constexpr int64_t kLineColumns = 64 / sizeof(Element);

  explicit DenseRows(const TableView& t)
      : data_(static_cast<const Element*>(t.data)), cols_(t.cols) {}
  void find(int64_t id, Row& row) const { row = data_ + id * cols_; }
  F32 read(Row row, int64_t column, int lanes) const {
    return load_some<Dense>(row + column, lanes);
  }
  LOWBIT_ALWAYS_INLINE void prefetch(int64_t id, int64_t column) const {
    prefetch_line(data_ + id * cols_ + column);
  }

 private:
  const Element* data_;
  int64_t cols_;
};

class Int8Rows {
 public:
  struct Row {
    const int8_t* codes;
    F32 scale;
  };
  static constexpr int64_t kLineColumns = 64;

  explicit Int8Rows(const TableView& t)
      : data_(static_cast<const int8_t*>(t.data)), scales_(t.scales), cols_(t.cols) {}
  void find(int64_t id, Row& row) const { row = {data_ + id * cols_, set1(scales_[id])}; }
  F32 read(const Row& row, int64_t column, int lanes) const {
    const int8_t* codes = row.codes + column;
    int8_t tile[kLanes] = {};
    if (lanes < kLanes)
      for (int i = 0; i < lanes; ++i) tile[i] = codes[i];
    return to_float(load_i8(lanes == kLanes ? codes : tile)) * row.scale;
  }
  LOWBIT_ALWAYS_INLINE void prefetch(int64_t id, int64_t column) const {
    if (column == 0) prefetch_line(scales_ + id);
    prefetch_line(data_ + id * cols_ + column);
  }

 private:
  const int8_t* data_;
  const float* scales_;
  int64_t cols_;
};

class Int4Rows {
 public:
  struct Row {
    const int8_t* codes;
    const float* scales;
  };
  static constexpr int64_t kLineColumns = 128;

  explicit Int4Rows(const TableView& t)
      : data_(static_cast<const int8_t*>(t.data)),
        row_bytes_(t.row_bytes),
        code_bytes_(int4_code_bytes(t.cols)),
        group_shift_(t.group_shift) {}
  void find(int64_t id, Row& row) const {
    row.codes = data_ + id * row_bytes_;
    row.scales = reinterpret_cast<const float*>(row.codes + code_bytes_);
  }
  F32 read(const Row& row, int64_t column, int) const {
    const I32 bytes = load_i8(row.codes + column / 32 * 16);
    const I32 codes = (column & 16 ? shift_right<4>(bytes) : bytes) & set1i(15);
    return to_float(codes - set1i(8)) * set1(row.scales[column >> group_shift_]);
  }
  LOWBIT_ALWAYS_INLINE void prefetch(int64_t id, int64_t column) const {
    const int8_t* row = data_ + id * row_bytes_;
    if (column == 0) prefetch_line(row + row_bytes_ - 1);
    prefetch_line(row + column / 2);
  }

 private:
  const int8_t* data_;
  int64_t row_bytes_, code_bytes_;
  int group_shift_;
};

// 16 rows are decoded, 64 columns at a time, and one is picked.
class PackedRows {
 public:
  static constexpr int64_t kLineColumns = 64;
  struct Row {
    int64_t id;
    float panel[kLineColumns * kLanes];
  };

  explicit PackedRows(const TableView& t) : w_(t.packed) {}
  void find(int64_t id, Row& row) const { row.id = id; }
  F32 read(Row& row, int64_t column, int lanes) const {
    const int64_t at = column % kLineColumns;
    if (at == 0) {
      const int64_t end = column + kLineColumns < w_.cols ? column + kLineColumns : w_.cols;
      read_panel(w_, row.id / kBlockRows, column, end, row.panel);
    }
    float values[kLanes] = {};
    for (int i = 0; i < lanes; ++i)
      values[i] = row.panel[(at + i) * kLanes + row.id % kBlockRows];
    return load(values);
  }
  // Not at all: decoding takes longer than reading.
  LOWBIT_ALWAYS_INLINE void prefetch(int64_t, int64_t) const {}

 private:
  const WeightView& w_;
};

// Calls use(rows) for the way the table is stored.
template <class Use>
inline void visit_rows(const TableView& t, Use&& use) {
  if (t.packed.data) return use(PackedRows(t));
  switch (t.format) {
    case Format::bf16: return use(DenseRows<Bf16>(t));
    case Format::fp16: return use(DenseRows<Fp16>(t));
    case Format::int8: return use(Int8Rows(t));
    case Format::int4: return use(Int4Rows(t));
    default: return use(DenseRows<Fp32>(t));
  }
}

// Calls use(column, lanes) for 16 columns at a time. Before each line of a row it asks for the same
// line of the rows `ahead`, one of each in turn: all of a row at once would wait for each other.
template <int count, class Rows, class Use>
LOWBIT_ALWAYS_INLINE void for_lines(const Rows& rows, const int64_t (&ahead)[count],
                                    int64_t columns, Use&& use) {
  for (int64_t c = 0; c < columns; c += Rows::kLineColumns) {
#pragma GCC unroll 4
    for (int k = 0; k < count; ++k) rows.prefetch(ahead[k], c);
    const int64_t left = columns - c;
    for_columns(left < Rows::kLineColumns ? left : Rows::kLineColumns,
                [&](int64_t i, int lanes) { use(c + i, lanes); });
  }
}

#undef LOWBIT_ALWAYS_INLINE

}  // namespace lowbit::LOWBIT_ISA
