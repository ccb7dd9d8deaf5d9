// Rows of x in 8-bit integers times packed codes that are never made floats: four products for each
// lane of one instruction. The low-rank part, bias and residual stay in float32.
//
// Each row of x is rounded block by block, with a scale of its own for every block: the columns of
// a weight's group, or as many as ops say. The sum of a block is an exact integer, so the same bits
// come out on every instruction set. Codes are unpacked in registers on their way to the sums of a
// few rows; unpacking takes less than going through memory once more.
#include <cstring>

#include "formats/format.hpp"
#include "formats/scales.hpp"
#include "kernels/few.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr float kLargest = 127.0f;
// Blocks of smaller values count as zero; their inverse would not be finite.
constexpr float kTiny = 1e-30f;

// How the bytes of a row are laid out: as Int8Rows says.
struct Layout {
  int64_t rows, columns;  // that lie together

  explicit Layout(bool tiles) : rows(tiles ? 16 : kMostRows), columns(tiles ? 64 : 4) {}

  // 16 bytes from column k on; `codes` is where the row begins.
  void store(const int8_t (&bytes)[kLanes], int64_t k, int8_t* codes) const {
    const int64_t together = columns < kLanes ? columns : kLanes;
    for (int64_t i = 0; i < kLanes; i += together) {
      const int64_t at = k + i;
      std::memcpy(codes + at / columns * columns * rows + at % columns, bytes + i,
                  static_cast<size_t>(together));
    }
  }
};

// The block of one row that begins at column k; returns the sum of the bytes.
int32_t pack_block(const float* x, int64_t k, int64_t count, const Layout& layout, int8_t* codes,
                   float* scale) {
  const auto load_at = [&](int64_t i) {
    const int64_t left = count - i;
    return left >= kLanes ? load(x + k + i) : load_first(x + k + i, static_cast<int>(left));
  };
  F32 most = zero(), nothing = zero();  // nothing: NaN when a value is infinite or NaN
  for (int64_t i = 0; i < count; i += kLanes) {
    most = max(abs(load_at(i)), most);
    nothing = fma(load_at(i), zero(), nothing);
  }
  const F32 largest = set1(reduce_max(most));
  const F32 inverse = select_less(set1(kTiny), largest, set1(kLargest) / largest, zero());
  I32 total = set1i(0);
  int8_t bytes[kLanes];
  for (int64_t i = 0; i < count; i += kLanes) {
    const I32 code = to_int(load_at(i) * inverse);
    store_i8(bytes, code);
    layout.store(bytes, k + i, codes);
    total = total + code;
  }
  const F32 bad = set1(reduce_add(nothing));
  store_first(scale, largest * set1(1.0f / kLargest) + bad, 1);
  int32_t lanes[kLanes], sum = 0;
  store_i32(lanes, total);
  for (int32_t lane : lanes) sum += lane;
  return sum;
}

// One row; `excess` is what a product of its bytes has too much of each.
void pack_row(const PackInt8Args& a, const Layout& layout, int excess, int64_t row) {
  const int64_t place = row % layout.rows, group = row - place;
  int8_t* codes = a.codes + group * a.stride + place * layout.columns;
  for (int64_t i = 0; i < a.blocks; ++i) {
    const int64_t k = i * a.block, left = a.x.cols - k;
    const int64_t at = group * a.blocks + i * layout.rows + place;
    a.starts[at] = -excess * pack_block(a.x.row(row), k, left < a.block ? left : a.block, layout,
                                        codes, a.scales + at);
  }
  const int8_t nothing[kLanes] = {};
  for (int64_t k = round_up(a.x.cols, kLanes); k < a.stride; k += kLanes)
    layout.store(nothing, k, codes);
}

// What one line of codes becomes for the products.
template <class Packed>
using WeightsOf = decltype(Packed().template integers<0>(I32()));

// The columns of one line, four at a time, for all rows.
template <class Packed, int rows, class Part, int first = 0>
[[gnu::always_inline]] inline void add_line(const Packed& format, I32 line, const int8_t* x,
                                            Part (&part)[rows]) {
  const auto weights = format.template integers<first>(line);
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    int32_t four;
    std::memcpy(&four, x + first * kMostRows + 4 * r, sizeof four);
    part[r] = add_products(part[r], weights, set1i(four));
  }
  if constexpr (first + 4 < Packed::kColumnsPerLine)
    add_line<Packed, rows, Part, first + 4>(format, line, x, part);
}

// total += the products of the columns of x up to `stop`, which `x` and `line` are moved to.
template <class Packed, int rows>
[[gnu::always_inline]] inline void add_lines(const Packed& format, const uint8_t*& line,
                                             const int8_t*& x, const int8_t* stop,
                                             I32 (&total)[rows]) {
  using Weights = WeightsOf<Packed>;
  Sum<Weights> part[rows];
  for (auto& p : part) p = no_sum<Weights>();
  for (; x < stop; x += Packed::kColumnsPerLine * kMostRows, line += 64) {
    __builtin_prefetch(line + kAhead);
    add_line(format, load_i32(line), x, part);
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) total[r] = total[r] + widen(part[r]);
}

// The weights of eight columns, which are one line or two.
template <class Packed>
[[gnu::always_inline]] inline auto eight_columns(const Packed& format, I32 line, I32 next) {
  if constexpr (Packed::kColumnsPerLine == 8)
    return row_pairs(format.template integers<0>(line), format.template integers<4>(line));
  else
    return row_pairs(format.template integers<0>(line), format.template integers<0>(next));
}

// The same as add_lines, two rows and eight columns at a time. A last row without a partner is
// paired with room that pack_int8 has for one.
template <class Packed, int rows>
[[gnu::always_inline]] inline void add_row_pairs(const Packed& format, const uint8_t*& line,
                                                 const int8_t*& x, const int8_t* stop,
                                                 I32 (&total)[rows]) {
  using Weights = WeightsOf<Packed>;
  constexpr int kFour = 4 * kMostRows;  // bytes of four columns
  PairSums<Weights> part[(rows + 1) / 2];
  for (auto& p : part) p = no_pair_sums<Weights>();
  for (; x < stop; x += 2 * kFour, line += 8 / Packed::kColumnsPerLine * 64) {
    __builtin_prefetch(line + kAhead);
    // Columns that end with a single line: x has zeros for the next one, whatever its weights.
    const uint8_t* next = x + kFour < stop ? line + 64 : line;
    const auto weights = eight_columns(format, load_i32(line), load_i32(next));
#pragma GCC unroll 8
    for (int r = 0; r < rows; r += 2)
      part[r / 2] = add_products(part[r / 2], weights, x + 4 * r, x + 4 * r + kFour);
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
    total[r] = total[r] + (r % 2 == 0 ? widen<0>(part[r / 2]) : widen<1>(part[r / 2]));
}

// total += the products of `count` columns.
template <class Packed, int rows>
[[gnu::always_inline]] inline void add_block(const Packed& format, const uint8_t* line,
                                             const int8_t* x, int64_t count, I32 (&total)[rows]) {
  constexpr int64_t kMost = 4 * kSteps<WeightsOf<Packed>>;
  for (; count > 0; count -= kMost) {
    const int8_t* stop = x + (count < kMost ? count : kMost) * kMostRows;
    if constexpr (kFastRowPairs && rows > 1)
      add_row_pairs(format, line, x, stop, total);
    else
      add_lines(format, line, x, stop, total);
  }
}

// `row` is the first of a group.
template <class Packed, int rows>
void add_weights(const WeightView& w, int64_t panel, const Int8Rows& x, int64_t row,
                 Sums<rows>& sums) {
  constexpr int64_t kLine = Packed::kColumnsPerLine;
  const Packed format;
  const uint8_t* line = w.lines(panel, kLine);
  const int8_t* codes = x.codes + row * x.stride;
  const float* x_scales = x.scales + row * x.blocks;
  const int32_t* starts = x.starts + row * x.blocks;
  F32 scale = zero();
  for (int64_t k = 0, group = 0; k < w.cols;) {
    if (k == group * w.group_size)
      scale = load_scales(w, panel, group++) * set1(Packed::kIntegerUnit);
    const int64_t left = w.cols - k, count = left < x.block ? left : x.block;
    I32 total[rows];
    for (int r = 0; r < rows; ++r) total[r] = set1i(starts[r]);
    add_block(format, line, codes, count, total);
    for (int r = 0; r < rows; ++r)
      sums.of[r] = fma(to_float(total[r]), scale * set1(x_scales[r]), sums.of[r]);
    k += count;
    line += ceil_div(count, kLine) * 64;
    codes += count * kMostRows, x_scales += kMostRows, starts += kMostRows;
  }
}

// `count` rows of one panel, 1 to `rows`.
template <class Packed, int rows>
void multiply_tile(const MatmulArgs& a, int64_t panel, int64_t row, int64_t count) {
  if constexpr (rows > 1)
    if (count < rows) return multiply_tile<Packed, rows - 1>(a, panel, row, count);
  Sums<rows> sums = start_sums<rows>(a, row, panel);
  add_weights<Packed, rows>(a.first.weight, panel, a.first.int8, row, sums);
  finish_sums(a, row, panel, sums);
}

}  // namespace

void pack_int8(const PackInt8Args& a) noexcept {
  visit(a.format, [&](auto tag) {
    using Packed = typename decltype(tag)::type;
    if constexpr (tag.packed) {
      const Layout layout(a.tiles);
      const int64_t end = 16 * a.block_end < a.x.rows ? 16 * a.block_end : a.x.rows;
      for (int64_t row = 16 * a.block_begin; row < end; ++row)
        pack_row(a, layout, kExcess<WeightsOf<Packed>>, row);
    }
  });
}

void matmul_int8(const MatmulArgs& a) noexcept {
  visit(a.first.weight.format, [&](auto tag) {
    using Packed = typename decltype(tag)::type;
    if constexpr (tag.packed)
      for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel) {
        read_low_rank(a, panel);
        for (int64_t row = a.row_begin; row < a.row_end; row += kMostRows)
          multiply_tile<Packed, kMostRows>(a, panel, row, a.row_end - row);
      }
  });
}

}  // namespace lowbit::LOWBIT_ISA
