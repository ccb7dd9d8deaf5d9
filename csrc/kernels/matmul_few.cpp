// The product of matmul.cpp for a few rows of x, such as one token at a time: a weight is used too
// seldom to be worth a panel.
//
// Packed codes are decoded in registers on their way to the sums. The columns of a group are summed
// without their scale, which multiplies the sum: a multiplication less for every weight, and one
// rounding less. Zero points are taken off with sums of x. A row has the same bits however many
// rows come together. Rows of dense weights are read as they lie, 16 columns at a time, since
// turning them into panels takes four times as long as reading them; their sums have an order of
// their own.
#include "formats/dense.hpp"
#include "formats/format.hpp"
#include "formats/scales.hpp"
#include "kernels/few.hpp"
#include "kernels/rows.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Adds the first `count` columns of a line, four at a time.
template <class Packed, int rows, int first = 0>
[[gnu::always_inline]] inline void add_line(const Packed& format, I32 line, const float* x,
                                            int64_t stride, int64_t count, Sums<rows>& sums) {
  F32 weights[4];
  format.template decode<first>(line, weights);
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c)
    if (first + c < count) sums.add(x + first + c, stride, weights[c]);
  if constexpr (first + 4 < Packed::kColumnsPerLine)
    add_line<Packed, rows, first + 4>(format, line, x, stride, count, sums);
}

// The same of a line of each panel.
template <class Packed, int rows, int panels>
[[gnu::always_inline]] inline void add_lines(const Packed& format, const uint8_t* line,
                                             int64_t panel_bytes, const float* x, int64_t stride,
                                             int64_t count, Sums<rows> (&sums)[panels]) {
#pragma GCC unroll 4
  for (int p = 0; p < panels; ++p) {
    const uint8_t* of_panel = line + p * panel_bytes;
    __builtin_prefetch(of_panel + kAhead);
    add_line(format, load_i32(of_panel), x, stride, count, sums[p]);
  }
}

template <class Packed, int rows, int panels>
[[gnu::always_inline]] inline void add_weights(const Packed& given, const WeightView& w,
                                               int64_t panel, const float* x, int64_t stride,
                                               Sums<rows> (&sums)[panels]) {
  constexpr int64_t kLine = Packed::kColumnsPerLine;
  const Packed format = given;  // in registers
  const int64_t panel_bytes = ceil_div(w.cols, kLine) * 64;
  const uint8_t* line = w.lines(panel, kLine);
  BlockScales scales[panels];
  for (int p = 0; p < panels; ++p) scales[p] = BlockScales(w, panel + p);
  for (int64_t k = 0, group = 0; k < w.cols; ++group) {
    const int64_t left = w.cols - k, stop = k + (left < w.group_size ? left : w.group_size);
    Sums<rows> part[panels];
    for (auto& sum : part) sum.clear();
    for (; k + kLine <= stop; k += kLine, line += 64)
      add_lines(format, line, panel_bytes, x + k, stride, kLine, part);
    if (k < stop) add_lines(format, line, panel_bytes, x + k, stride, stop - k, part);
    for (int p = 0; p < panels; ++p) sums[p].add(part[p], scales[p][group]);
    k = stop;
  }
}

// The sums of x in each group, where zero points need them: [rows][groups].
float* sums_of_groups(const MatmulArgs& a) { return a.scratch + matmul_few_sums(a.second.x.cols); }

// Not inlined: the loop over panels would take registers from that over columns.
template <class Packed, int rows, int panels>
[[gnu::noinline]] void multiply(const MatmulArgs& a, const Packed& format, int64_t row,
                                int64_t panel) {
  Sums<rows> sums[panels];
  const MatrixView<const float>& x = a.first.x;
  const WeightView& w = a.first.weight;
  for (int p = 0; p < panels; ++p) {
    sums[p] = start_sums<rows>(a, row, panel + p);
    if (w.zeros) sums[p] = without_zeros(w, panel + p, sums_of_groups(a), sums[p]);
  }
  add_weights<Packed, rows, panels>(format, w, panel, x.row(row), x.stride, sums);
  for (int p = 0; p < panels; ++p) {
    read_low_rank(a, panel + p);
    finish_sums(a, row, panel + p, sums[p]);
  }
}

// `count` rows, 1 to `rows`, of all panels.
template <class Packed, int rows>
void multiply_rows(const MatmulArgs& a, const Packed& format, int64_t row, int64_t count) {
  if constexpr (rows > 1)
    if (count < rows) return multiply_rows<Packed, rows - 1>(a, format, row, count);
  int64_t panel = a.panel_begin;
  for (; a.panel_end - panel >= kPanels<rows>; panel += kPanels<rows>)
    multiply<Packed, rows, kPanels<rows>>(a, format, row, panel);
  if constexpr (kPanels<rows> > 1)
    for (; panel < a.panel_end; ++panel) multiply<Packed, rows, 1>(a, format, row, panel);
}

// Sums the columns of each group, for `rows` rows of x at most.
void sum_groups(const MatmulArgs& a, int64_t row, int64_t rows) {
  const WeightView& w = a.first.weight;
  float* out = sums_of_groups(a);
  for (int64_t r = row; r < a.row_end && r < row + rows; ++r)
    for (int64_t begin = 0; begin < w.cols; begin += w.group_size) {
      const int64_t left = w.cols - begin;
      F32 sum = zero();
      for_columns(left < w.group_size ? left : w.group_size, [&](int64_t c, int lanes) {
        sum = sum + read(a.first.x.row(r) + begin + c, lanes);
      });
      *out++ = reduce_add(sum);
    }
}

template <class Packed>
void multiply_panels(const MatmulArgs& a, const Packed& format) {
  static_assert(kMostRows <= 8);  // what scratch has room for
  for (int64_t row = a.row_begin; row < a.row_end; row += kMostRows) {
    if (a.first.weight.zeros) sum_groups(a, row, kMostRows);
    multiply_rows<Packed, kMostRows>(a, format, row, a.row_end - row);
  }
}

// Each row of x times one row of weights.
template <class Dense, int rows>
void add_dots(const typename Dense::Element* weights, const MatrixView<const float>& x, int64_t row,
              float (&dots)[rows][kLanes], int64_t lane) {
  constexpr int kChains = rows < 3 ? 4 / rows : 1;  // a single chain of sums would wait for itself
  F32 part[rows][kChains];
  for (auto& chains : part)
    for (F32& sum : chains) sum = zero();
  int64_t k = 0;
  for (; k + kChains * kLanes <= x.cols; k += kChains * kLanes)
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) {
      const F32 w = Dense::load16(weights + k + c * kLanes);
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r)
        part[r][c] = fma(load(x.row(row + r) + k + c * kLanes), w, part[r][c]);
    }
  for (; k < x.cols; k += kLanes) {
    const int columns = static_cast<int>(x.cols - k < kLanes ? x.cols - k : kLanes);
    const F32 w = load_some<Dense>(weights + k, columns);
    for (int r = 0; r < rows; ++r)
      part[r][0] = fma(load_first(x.row(row + r) + k, columns), w, part[r][0]);
  }
  for (int r = 0; r < rows; ++r) {
    for (int c = 1; c < kChains; ++c) part[r][0] = part[r][0] + part[r][c];
    dots[r][lane] = reduce_add(part[r][0]);
  }
}

template <class Dense, int rows>
void multiply_dense(const MatmulArgs& a, int64_t row, int64_t panel) {
  const WeightView& w = a.first.weight;
  Sums<rows> sums = start_sums<rows>(a, row, panel);
  float dots[rows][kLanes] = {};
  for (int64_t lane = 0; lane < lanes_of(a, panel); ++lane) {
    const auto* weights = static_cast<const typename Dense::Element*>(w.data);
    add_dots<Dense, rows>(weights + (panel * kLanes + lane) * w.stride, a.first.x, row, dots, lane);
  }
  for (int r = 0; r < rows; ++r) sums.of[r] = sums.of[r] + load(dots[r]);
  read_low_rank(a, panel);
  finish_sums(a, row, panel, sums);
}

// Rows too short for a dot product, such as an adapter's B has: their panel is read as it is for
// many rows. a.scratch has room for it.
template <int rows>
void multiply_short(const MatmulArgs& a, int64_t row, int64_t panel) {
  const MatrixView<const float>& x = a.first.x;
  Sums<rows> sums = start_sums<rows>(a, row, panel);
  read_panel(a.first.weight, panel, 0, x.cols, a.scratch);
  for (int64_t k = 0; k < x.cols; ++k)
    sums.add(x.row(row) + k, x.stride, load(a.scratch + k * kLanes));
  read_low_rank(a, panel);
  finish_sums(a, row, panel, sums);
}

// `count` rows of one panel, 1 to `rows`.
template <class Dense, int rows>
void multiply_dense_rows(const MatmulArgs& a, int64_t row, int64_t count, int64_t panel) {
  if constexpr (rows > 1)
    if (count < rows) return multiply_dense_rows<Dense, rows - 1>(a, row, count, panel);
  if (a.first.x.cols < kShortestDot)
    multiply_short<rows>(a, row, panel);
  else
    multiply_dense<Dense, rows>(a, row, panel);
}

template <class Dense>
void multiply_dense_panels(const MatmulArgs& a) {
  constexpr int kRows = kMostRows < 4 ? kMostRows : 4;
  for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel)
    for (int64_t row = a.row_begin; row < a.row_end; row += kRows)
      multiply_dense_rows<Dense, kRows>(a, row, a.row_end - row, panel);
}

}  // namespace

void matmul_few(const MatmulArgs& a) noexcept {
  visit(a.first.weight.format, [&](auto tag) {
    using Type = typename decltype(tag)::type;
    if constexpr (tag.packed)
      multiply_panels(a, tag.format);
    else
      multiply_dense_panels<Type>(a);
  });
}

}  // namespace lowbit::LOWBIT_ISA
