#include "ops/int4_rows.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/scales.hpp"

namespace lowbit::ops {
namespace {

constexpr int64_t kLineColumns = 8;  // of a line of 64 bytes, for each of its 16 rows
constexpr uint8_t kZeros = 0x88;     // two codes of zero

// Where a column's code is: in the four bytes that a line has for a row, and in a row.
struct Place {
  int64_t byte;
  int shift;
};
Place in_line(int64_t column) { return {column % 4, column % kLineColumns < 4 ? 0 : 4}; }
Place in_row(int64_t column) { return {column / 32 * 16 + column % 16, column & 16 ? 4 : 0}; }

uint8_t code_at(const uint8_t* bytes, Place p) { return bytes[p.byte] >> p.shift & 15; }
void set_code(uint8_t* bytes, Place p, uint8_t code) {
  const int others = bytes[p.byte] & ~(15 << p.shift);
  bytes[p.byte] = static_cast<uint8_t>(others | code << p.shift);
}

// Calls use(row bytes, dword, column of its line's first) for all dwords of rows of a block.
template <class Lines, class Use>
void visit_dwords(const Int4Rows& t, Lines* lines, int64_t block, Use&& use) {
  const int64_t per_block = ceil_div(t.cols, kLineColumns);
  const int64_t count = std::min<int64_t>(kBlockRows, t.rows - block * kBlockRows);
  for (int64_t line = 0; line < per_block; ++line)
    for (int64_t r = 0; r < count; ++r)
      use(t.bytes.get() + (block * kBlockRows + r) * t.row_bytes,
          lines + (block * per_block + line) * 64 + r * 4, line * kLineColumns);
}

// Calls use(the scale in a packed matrix, its bytes in a row) for all scales of a block.
template <class Scales, class Use>
void visit_scales(const Int4Rows& t, Scales* scales, int64_t block, Use&& use) {
  const int64_t count = std::min<int64_t>(kBlockRows, t.rows - block * kBlockRows);
  for (int64_t g = 0; g < t.groups; ++g)
    for (int64_t r = 0; r < count; ++r)
      use(scales + ((block * t.groups + g) * kBlockRows + r) * 4,
          t.bytes.get() + (block * kBlockRows + r) * t.row_bytes + int4_code_bytes(t.cols) + g * 4);
}

}  // namespace

TableView Int4Rows::view() const {
  TableView t{Format::int4, rows, cols, bytes.get()};
  t.row_bytes = row_bytes;
  // One group for all columns: any shift that leaves nothing.
  t.group_shift = groups <= 1 ? 62 : std::countr_zero(static_cast<uint64_t>(group_size));
  return t;
}

bool fits_int4_rows(const PackedMatrix& m) {
  return m.format == Format::int4 && m.symmetric && !m.per_tensor &&
         m.scale_type == ScaleType::fp32;
}

Int4Rows int4_rows(const PackedMatrix& m) {
  check(fits_int4_rows(m),
        "Int4Rows: the matrix must be symmetric int4 with a float as scale of each row or group");
  Int4Rows t;
  t.rows = m.rows, t.cols = m.cols, t.group_size = m.group_size, t.groups = m.groups;
  t.row_bytes = round_up(int4_code_bytes(m.cols) + 4 * m.groups, 16);
  t.bytes = take<uint8_t>(t.nbytes());
  parallel_for(m.blocks(), 16, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kBlockRows, last = std::min(end * kBlockRows, m.rows);
    std::memset(t.bytes.get() + first * t.row_bytes, kZeros,
                static_cast<size_t>((last - first) * t.row_bytes));
    for (int64_t b = begin; b < end; ++b) {
      visit_dwords(t, m.lines.get(), b, [](uint8_t* row, const uint8_t* dword, int64_t column) {
        for (int64_t c = 0; c < kLineColumns; ++c)
          set_code(row, in_row(column + c), code_at(dword, in_line(c)));
      });
      visit_scales(t, m.scales.data(), b,
                   [](const uint8_t* scale, uint8_t* place) { std::memcpy(place, scale, 4); });
    }
  });
  return t;
}

PackedMatrix packed_matrix(const Int4Rows& t) {
  PackedMatrix m = allocate("Int4Rows.packed", {"int4", t.groups <= 1 ? 0 : t.group_size, false},
                            t.rows, t.cols);
  std::memset(m.lines.get(), kZeros, static_cast<size_t>(m.line_bytes));
  for (int64_t b = 0; b < m.blocks(); ++b) {
    visit_dwords(t, m.lines.get(), b, [](const uint8_t* row, uint8_t* dword, int64_t column) {
      for (int64_t c = 0; c < kLineColumns; ++c)
        set_code(dword, in_line(c), code_at(row, in_row(column + c)));
    });
    visit_scales(t, m.scales.data(), b,
                 [](uint8_t* scale, const uint8_t* place) { std::memcpy(scale, place, 4); });
  }
  return m;
}

}  // namespace lowbit::ops
