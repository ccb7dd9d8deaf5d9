// Rows of x in 8-bit integers times packed codes that are never made floats: four products for each
// lane of one instruction. The low-rank part, bias and residual stay in float32.
//
// Each row of x is rounded block by block, and every block has a scale. A block has one group of
// the weight's columns or several; the sum of each is an exact integer, so the same bits come out
// on every instruction set. Codes are unpacked in registers on their way to the sums of a few rows;
// unpacking takes less than going through memory once more.
#include <cstring>

#include "formats/format.hpp"
#include "formats/scales.hpp"
#include "kernels/few.hpp"
#include "kernels/zero_point.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// What one line of codes becomes for the products; a format that exists in types alone says it.
template <class Packed>
const Packed& any_format();
template <class Packed>
using WeightsOf = decltype(any_format<Packed>().template integers<0>(I32()));

// What is asked for while a line is read, so many bytes from it: lines that follow, or `next`. Its
// place is the second-level cache, since codes and rows need the first.
struct Ahead {
  int64_t bytes = kAhead;
  bool next = false;

  [[gnu::always_inline]] void ask(const uint8_t* line) const {
    if (next)
      __builtin_prefetch(line + bytes, 0, 2);
    else
      __builtin_prefetch(line + bytes);
  }
};

// A panel's lines of bytes are a quarter of what `next` has for it, so four groups of rows ask for
// all of it, and fewer for what comes first.
inline Ahead ahead_of(const MatmulArgs& a, int64_t row, int64_t panel, const uint8_t* lines,
                      int64_t panel_bytes) {
  constexpr int64_t kParts = 4;
  const int64_t group = (row - a.row_begin) / kMostRows;
  if (!a.next || group >= kParts) return {};
  const int64_t groups = ceil_div(a.row_end - a.row_begin, kMostRows);
  const int64_t part = (panel - a.panel_begin) * (groups < kParts ? groups : kParts) + group;
  return {a.next + part * panel_bytes - lines, true};
}

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

// Panels side by side: their lines at the same columns lie `panel_bytes` apart.
template <int rows, int panels>
struct Totals {
  I32 of[panels][rows];
};

// Whether products can be added to the total itself, where its sums are wide enough.
template <class Sum>
inline constexpr bool kIsTotal = false;
template <>
inline constexpr bool kIsTotal<I32> = true;

// total += the products of the columns of x up to `stop`, which `x` and `line` are moved to.
template <class Packed, int rows, int panels>
[[gnu::always_inline]] inline void add_lines(const Packed& format, const uint8_t*& line,
                                             int64_t panel_bytes, Ahead ahead, const int8_t*& x,
                                             const int8_t* stop, Totals<rows, panels>& total) {
  using Weights = WeightsOf<Packed>;
  Sum<Weights> part[panels][rows];
  for (int p = 0; p < panels; ++p)
    for (int r = 0; r < rows; ++r)
      if constexpr (kIsTotal<Sum<Weights>>)
        part[p][r] = total.of[p][r];
      else
        part[p][r] = no_sum<Weights>();
  for (; x < stop; x += Packed::kColumnsPerLine * kMostRows, line += 64) {
#pragma GCC unroll 4
    for (int p = 0; p < panels; ++p) {
      ahead.ask(line + p * panel_bytes);
      add_line(format, load_i32(line + p * panel_bytes), x, part[p]);
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < panels; ++p)
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
      if constexpr (kIsTotal<Sum<Weights>>)
        total.of[p][r] = part[p][r];
      else
        total.of[p][r] = total.of[p][r] + widen(part[p][r]);
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
                                                 Ahead ahead, const int8_t*& x,
                                                 const int8_t* stop, Totals<rows, 1>& total) {
  using Weights = WeightsOf<Packed>;
  constexpr int kFour = 4 * kMostRows;  // bytes of four columns
  PairSums<Weights> part[(rows + 1) / 2];
  for (auto& p : part) p = no_pair_sums<Weights>();
  for (; x < stop; x += 2 * kFour, line += 8 / Packed::kColumnsPerLine * 64) {
    ahead.ask(line);
    if (ahead.next && Packed::kColumnsPerLine < 8) ahead.ask(line + 64);
    // Columns that end with a single line: x has zeros for the next one, whatever its weights.
    const uint8_t* next = x + kFour < stop ? line + 64 : line;
    const auto weights = eight_columns(format, load_i32(line), load_i32(next));
#pragma GCC unroll 8
    for (int r = 0; r < rows; r += 2)
      part[r / 2] = add_products(part[r / 2], weights, x + 4 * r, x + 4 * r + kFour);
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
    total.of[0][r] =
        total.of[0][r] + (r % 2 == 0 ? widen<0>(part[r / 2]) : widen<1>(part[r / 2]));
}

// total += the products of `count` columns.
template <class Packed, int rows, int panels>
[[gnu::always_inline]] inline void add_block(const Packed& format, const uint8_t* line,
                                             int64_t panel_bytes, Ahead ahead, const int8_t* x,
                                             int64_t count, Totals<rows, panels>& total) {
  constexpr int64_t kMost = 4 * kSteps<WeightsOf<Packed>>;
  for (; count > 0; count -= kMost) {
    const int8_t* stop = x + (count < kMost ? count : kMost) * kMostRows;
    if constexpr (kFastRowPairs && rows > 1)
      add_row_pairs(format, line, ahead, x, stop, total);
    else
      add_lines(format, line, panel_bytes, ahead, x, stop, total);
  }
}

// The scales of the group that a piece belongs to, for each panel.
template <int panels>
class GroupScales {
 public:
  GroupScales(const WeightView& w, int64_t panel) : group_size_(w.group_size) {
    for (int p = 0; p < panels; ++p) scales_[p] = BlockScales(w, panel + p);
  }
  void move_to(int64_t k) {
    if (k != next_ * group_size_) return;
    for (int p = 0; p < panels; ++p) of[p] = scales_[p][next_];
    ++next_;
  }
  F32 of[panels] = {};

 private:
  BlockScales scales_[panels];
  int64_t group_size_;
  int64_t next_ = 0;  // group
};

// What the sums of a panel begin with because of x's zero point, [pieces][16]; null without one.
inline int32_t* zero_point_starts(const MatmulArgs& a, int panel) {
  const Int8Rows& x = a.first.int8;
  if (x.zero_point == 0) return nullptr;
  return reinterpret_cast<int32_t*>(a.scratch + 16 * a.second.x.cols) + panel * 16 * x.pieces;
}

template <class Packed>
void read_zero_point(const MatmulArgs& a, const Packed& format, int64_t panel, int place) {
  const WeightView& w = a.first.weight;
  if (int32_t* starts = zero_point_starts(a, place))
    read_zero_point_starts(format, w, a.first.int8, panel, 0, w.cols, starts);
}

// sums += the products of one block, columns [k, end). `zeros` as zero_point_starts gives it.
template <class Packed, int rows, int panels>
[[gnu::always_inline]] inline void add_pieces(const Packed& format, const WeightView& w,
                                              int64_t panel, const Int8Rows& x, int64_t k,
                                              int64_t end, const int8_t* codes,
                                              const int32_t* starts, const int32_t* zeros,
                                              Ahead ahead, GroupScales<panels>& scale,
                                              Sums<rows> (&sums)[panels]) {
  constexpr int64_t kLine = Packed::kColumnsPerLine;
  const int64_t panel_bytes = ceil_div(w.cols, kLine) * 64;
  for (; k < end; codes += x.piece * kMostRows, starts += kMostRows, k += x.piece) {
    scale.move_to(k);
    Totals<rows, panels> total;
    for (auto& of_panel : total.of)
      for (int r = 0; r < rows; ++r) of_panel[r] = set1i(starts[r]);
    if (zeros)
      for (int p = 0; p < panels; ++p) {
        const I32 zero_start = load_i32(zeros + (p * x.pieces + k / x.piece) * 16);
        for (int r = 0; r < rows; ++r) total.of[p][r] = total.of[p][r] + zero_start;
      }
    const int64_t count = end - k < x.piece ? end - k : x.piece;
    const uint8_t* line = w.lines(panel, kLine) + k / kLine * 64;
    add_block(format, line, panel_bytes, ahead, codes, count, total);
    for (int p = 0; p < panels; ++p)
      for (int r = 0; r < rows; ++r)
        sums[p].of[r] = fma(to_float(total.of[p][r]), scale.of[p], sums[p].of[r]);
  }
}

// `row` is the first of a group.
template <class Packed, int rows, int panels>
[[gnu::always_inline]] inline void add_weights(const Packed& given, const MatmulArgs& a,
                                               int64_t panel, int64_t row,
                                               Sums<rows> (&sums)[panels]) {
  const Packed format = given;  // in registers
  const WeightView& w = a.first.weight;
  const Int8Rows& x = a.first.int8;
  const int8_t* codes = x.codes + row * x.stride;
  const float* x_scales = x.scales + row * x.blocks;
  const int32_t* starts = x.starts + row * x.pieces;
  const int32_t* zeros = zero_point_starts(a, 0);
  const int64_t starts_of_block = x.block / x.piece * kMostRows;
  constexpr int64_t kLine = Packed::kColumnsPerLine;
  const int64_t panel_bytes = ceil_div(w.cols, kLine) * 64;
  const Ahead ahead = ahead_of(a, row, panel, w.lines(panel, kLine), panel_bytes);
  GroupScales<panels> scale(w, panel);
  for (int64_t k = 0; k < w.cols; k += x.block) {
    const int64_t end = k + x.block < w.cols ? k + x.block : w.cols;
    Sums<rows> part[panels];
    for (auto& sum : part) sum.clear();
    add_pieces(format, w, panel, x, k, end, codes, starts, zeros, ahead, scale, part);
    for (int p = 0; p < panels; ++p)
      for (int r = 0; r < rows; ++r)
        sums[p].of[r] = fma(part[p].of[r], set1(x_scales[r]), sums[p].of[r]);
    codes += x.block * kMostRows, x_scales += kMostRows, starts += starts_of_block;
  }
}

// Not inlined: the loop over panels would take registers from that over columns.
template <class Packed, int rows, int panels>
[[gnu::noinline]] void multiply(const MatmulArgs& a, const Packed& format, int64_t row,
                                int64_t panel) {
  Sums<rows> sums[panels];
  const WeightView& w = a.first.weight;
  const float* x_sums = a.first.int8.sums;
  for (int p = 0; p < panels; ++p) {
    if (rows < kMostRows) read_zero_point(a, format, panel + p, p);
    sums[p] = start_sums<rows>(a, row, panel + p);
    if (x_sums) sums[p] = without_zeros(w, panel + p, x_sums + row * w.groups, sums[p]);
  }
  add_weights<Packed, rows, panels>(format, a, panel, row, sums);
  for (int p = 0; p < panels; ++p) {
    if (rows < kMostRows) read_low_rank(a, panel + p);
    finish_sums(a, row, panel + p, sums[p]);
  }
}

// Columns of a piece from which a panel is read by itself, in one stream that the processor fetches
// ahead of time: where weights come from memory that is nearly twice as fast as four panels side by
// side, which wait for each other's sums less.
constexpr int64_t kLongPiece = 256;

// `count` rows of all panels, fewer than `rows`.
template <class Packed, int rows>
void multiply_last(const MatmulArgs& a, const Packed& format, int64_t row, int64_t count) {
  if constexpr (rows > 2)
    if (count < rows - 1) return multiply_last<Packed, rows - 1>(a, format, row, count);
  constexpr int kSome = rows - 1, kTogether = kFastRowPairs && kSome > 1 ? 1 : kPanels<kSome>;
  int64_t panel = a.panel_begin;
  const bool together = kTogether == 1 || a.first.int8.piece < kLongPiece;
  for (; together && a.panel_end - panel >= kTogether; panel += kTogether)
    multiply<Packed, kSome, kTogether>(a, format, row, panel);
  if constexpr (kTogether > 1)
    for (; panel < a.panel_end; ++panel) multiply<Packed, kSome, 1>(a, format, row, panel);
}

template <class Packed>
void multiply_panels(const MatmulArgs& a, const Packed& format) {
  const int64_t last = a.row_end - (a.row_end - a.row_begin) % kMostRows;
  if (last > a.row_begin)
    for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel) {
      read_low_rank(a, panel);
      read_zero_point(a, format, panel, 0);
      for (int64_t row = a.row_begin; row < last; row += kMostRows)
        multiply<Packed, kMostRows, 1>(a, format, row, panel);
    }
  if constexpr (kMostRows > 1)
    if (last < a.row_end) multiply_last<Packed, kMostRows>(a, format, last, a.row_end - last);
}

}  // namespace

void matmul_int8(const MatmulArgs& a) noexcept {
  visit(a.first.weight.format, [&](auto tag) {
    if constexpr (tag.packed) multiply_panels(a, tag.format);
  });
}

}  // namespace lowbit::LOWBIT_ISA
