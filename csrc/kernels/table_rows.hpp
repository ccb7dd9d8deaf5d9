// Rows of an embedding table as floats, 16 columns at a time. One class for each way to store them:
//
//   Row, find(id, row)          where a row is
//   read(row, column, lanes)    16 values from `column` on, which is a multiple of 16, or the first
//                               `lanes` of them; other lanes are unspecified. Columns of a row are
//                               asked for in their order
//   prefetch(id, column)        asks for the line that begins with `column`, a multiple of
//                               kLineColumns
//   prefetch_ends(id)           asks for the line of the row's last byte where no column begins it,
//                               and for the scale
//   kAhead, kBagAhead           how many rows before it is read a row is asked for, when rows are
//                               copied and when they are added; each time it is, if several
//   kBagVectors                 16 columns each, whose sums are in registers while rows are added
//
// Lines are asked for into the second-level cache, which waits for more of them at a time than the
// first. A processor that waits for enough of them leaves requests out, so that asking twice may
// pay: what is there already costs little.
#pragma once

#include "formats/dense.hpp"
#include "formats/format.hpp"
#include "formats/int4.hpp"
#include "formats/panel.hpp"
#include "formats/table.hpp"
#include "kernels/rows.hpp"

namespace lowbit::LOWBIT_ISA {

// GCC takes a function that does nothing but ask for lines for one without any effect and leaves
// its calls out, unless it is inlined before: so they all are, always.
#define LOWBIT_ALWAYS_INLINE [[gnu::always_inline]] inline

LOWBIT_ALWAYS_INLINE void prefetch_line(const void* p) { __builtin_prefetch(p, 0, 2); }

// Whether rows begin and end with a line, as those of lowbit's own tables of 64 columns do.
inline bool whole_lines(const void* data, int64_t row_bytes) {
  return (reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(row_bytes)) % 64 == 0;
}

template <class Dense>
class DenseRows {
 public:
  using Element = typename Dense::Element;
  using Row = const Element*;
  static constexpr int64_t kLineColumns = 64 / sizeof(Element);
  static constexpr int64_t kAhead[] = {24, 16}, kBagAhead[] = {48, 32};
  static constexpr int kBagVectors = 4;

  explicit DenseRows(const TableView& t)
      : data_(static_cast<const Element*>(t.data)), cols_(t.cols),
        whole_lines_(whole_lines(t.data, t.cols * int64_t{sizeof(Element)})) {}
  void find(int64_t id, Row& row) const { row = data_ + id * cols_; }
  F32 read(Row row, int64_t column, int lanes) const {
    return load_some<Dense>(row + column, lanes);
  }
  LOWBIT_ALWAYS_INLINE void prefetch(int64_t id, int64_t column) const {
    prefetch_line(data_ + id * cols_ + column);
  }
  LOWBIT_ALWAYS_INLINE void prefetch_ends(int64_t id) const {
    if (!whole_lines_) prefetch_line(data_ + (id + 1) * cols_ - 1);
  }

 private:
  const Element* data_;
  int64_t cols_;
  bool whole_lines_;
};

class Int8Rows {
 public:
  struct Row {
    const int8_t* codes;
    F32 scale;
  };
  static constexpr int64_t kLineColumns = 64;
  static constexpr int64_t kAhead[] = {24, 16}, kBagAhead[] = {48, 32};
  static constexpr int kBagVectors = 8;

  explicit Int8Rows(const TableView& t)
      : data_(static_cast<const int8_t*>(t.data)), scales_(t.scales), cols_(t.cols),
        whole_lines_(whole_lines(t.data, t.cols)) {}
  void find(int64_t id, Row& row) const { row = {data_ + id * cols_, set1(scales_[id])}; }
  F32 read(const Row& row, int64_t column, int lanes) const {
    const int8_t* codes = row.codes + column;
    int8_t tile[kLanes] = {};
    if (lanes < kLanes)
      for (int i = 0; i < lanes; ++i) tile[i] = codes[i];
    return to_float(load_i8(lanes == kLanes ? codes : tile)) * row.scale;
  }
  LOWBIT_ALWAYS_INLINE void prefetch(int64_t id, int64_t column) const {
    prefetch_line(data_ + id * cols_ + column);
  }
  LOWBIT_ALWAYS_INLINE void prefetch_ends(int64_t id) const {
    prefetch_line(scales_ + id);
    if (!whole_lines_) prefetch_line(data_ + (id + 1) * cols_ - 1);
  }

 private:
  const int8_t* data_;
  const float* scales_;
  int64_t cols_;
  bool whole_lines_;
};

class Int4Rows {
 public:
  struct Row {
    const int8_t* codes;
    const float* scales;
  };
  static constexpr int64_t kLineColumns = 128;
  static constexpr int64_t kAhead[] = {24, 16}, kBagAhead[] = {32};
  static constexpr int kBagVectors = 4;

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
    const F32 values = lookup16(values_, column & 16 ? shift_right<4>(bytes) : bytes);
    return values * set1(row.scales[column >> group_shift_]);
  }
  LOWBIT_ALWAYS_INLINE void prefetch(int64_t id, int64_t column) const {
    prefetch_line(data_ + id * row_bytes_ + column / 2);
  }
  LOWBIT_ALWAYS_INLINE void prefetch_ends(int64_t id) const {
    prefetch_line(data_ + (id + 1) * row_bytes_ - 1);
  }

 private:
  const int8_t* data_;
  int64_t row_bytes_, code_bytes_;
  int group_shift_;
  Table16 values_ = load_table(kInt4Values);
};

// 16 rows are decoded, 64 columns at a time, and one is picked.
class PackedRows {
 public:
  static constexpr int64_t kLineColumns = 64;
  static constexpr int64_t kAhead[] = {0}, kBagAhead[] = {0};
  static constexpr int kBagVectors = 4;
  struct Row {
    int64_t id, panel_column;
    float panel[kLineColumns * kLanes];
  };

  explicit PackedRows(const TableView& t) : w_(t.packed) {}
  void find(int64_t id, Row& row) const { row.id = id, row.panel_column = -1; }
  F32 read(Row& row, int64_t column, int lanes) const {
    const int64_t at = column % kLineColumns, begin = column - at;
    if (row.panel_column != begin) {
      row.panel_column = begin;
      const int64_t end = begin + kLineColumns < w_.cols ? begin + kLineColumns : w_.cols;
      read_panel(w_, row.id / kBlockRows, begin, end, row.panel);
    }
    float values[kLanes] = {};
    for (int i = 0; i < lanes; ++i)
      values[i] = row.panel[(at + i) * kLanes + row.id % kBlockRows];
    return load(values);
  }
  // Not at all: decoding takes longer than reading.
  LOWBIT_ALWAYS_INLINE void prefetch(int64_t, int64_t) const {}
  LOWBIT_ALWAYS_INLINE void prefetch_ends(int64_t) const {}

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

// The rows to ask for while the i-th is read: those so many ids after it. They are found once for a
// row: rows of float32 took half as long again to copy with their ids read for each line.
template <int times>
struct Ahead {
  LOWBIT_ALWAYS_INLINE Ahead(const int64_t (&distances)[times], const int32_t* ids,
                             int64_t id_count, int64_t i) {
    for (int n = 0; n < times; ++n) {
      const int64_t at = i + distances[n];
      rows[n] = ids[at < id_count ? at : id_count - 1];
    }
  }
  int64_t rows[times];
};

template <class Rows, int times>
LOWBIT_ALWAYS_INLINE void ask_for_ends(const Rows& rows, const Ahead<times>& ahead) {
#pragma GCC unroll 2
  for (const int64_t id : ahead.rows) rows.prefetch_ends(id);
}

// Asks for the line that begins with `column`.
template <class Rows, int times>
LOWBIT_ALWAYS_INLINE void ask_for_line(const Rows& rows, const Ahead<times>& ahead,
                                       int64_t column) {
#pragma GCC unroll 2
  for (const int64_t id : ahead.rows) rows.prefetch(id, column);
}

#undef LOWBIT_ALWAYS_INLINE

}  // namespace lowbit::LOWBIT_ISA
