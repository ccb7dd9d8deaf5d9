// What products with a few rows of x share, however the first one is computed: the sums of a panel,
// how they start, and how they end.
#pragma once

#include "formats/panel.hpp"
#include "formats/scales.hpp"
#include "kernels/args.hpp"

namespace lowbit::LOWBIT_ISA {

// Rows of x whose sums, with what decoding needs, fit the registers; one where there are none.
constexpr int kMostRows = kTileSums < 4 ? 1 : kTileSums < 8 ? 4 : 8;
// Panels side by side: four chains of sums at least, since one would wait for itself.
template <int rows>
constexpr int kPanels = kMostRows == 1 || rows > 3 ? 1 : rows > 1 ? 2 : 4;

// Bytes of codes that are asked for before their turn: processors look ahead themselves, but stop
// at every page.
constexpr int64_t kAhead = 1024;

template <int rows>
struct Sums {
  F32 of[rows];

  void clear() {
    for (F32& sum : of) sum = zero();
  }

  // of[r] += x[r] * weight
  void add(const float* x, int64_t stride, F32 weight) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) of[r] = fma(set1(x[r * stride]), weight, of[r]);
  }

  // of[r] += part[r] * scale
  void add(const Sums& part, F32 scale) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) of[r] = fma(part.of[r], scale, of[r]);
  }
};

inline int lanes_of(const MatmulArgs& a, int64_t panel) {
  const int64_t left = a.y.cols - panel * kLanes;
  return static_cast<int>(left < kLanes ? left : kLanes);
}

template <int rows>
Sums<rows> start_sums(const MatmulArgs& a, int64_t row, int64_t panel) {
  const int64_t column = panel * kLanes;
  const int lanes = lanes_of(a, panel);
  Sums<rows> sums;
  for (int r = 0; r < rows; ++r) {
    sums.of[r] = a.bias ? load_first(a.bias + column, lanes) : zero();
    if (a.residual) sums.of[r] = sums.of[r] + load_first(a.residual.row(row + r) + column, lanes);
  }
  return sums;
}

// Takes off `sums` [rows][16] what the zero points of an asymmetric weight add: for each group, the
// scale times the zero point times the sum of x. `x_sums` are [rows][w.groups].
[[gnu::noinline]] inline void subtract_zeros(const WeightView& w, int64_t panel,
                                             const float* x_sums, int64_t rows, float* sums) {
  const BlockScales scales(w, panel);
  for (int64_t group = 0; group < w.groups; ++group) {
    const F32 zeros = zero() - scales.zeros(group) * scales[group];
    for (int64_t r = 0; r < rows; ++r) {
      float* sum = sums + r * kLanes;
      store(sum, fma(set1(x_sums[r * w.groups + group]), zeros, load(sum)));
    }
  }
}

// The same by way of memory, so that sums stay in registers where weights have no zero points.
template <int rows>
inline Sums<rows> without_zeros(const WeightView& w, int64_t panel, const float* x_sums,
                                const Sums<rows>& sums) {
  float memory[rows * kLanes];
  for (int r = 0; r < rows; ++r) store(memory + r * kLanes, sums.of[r]);
  subtract_zeros(w, panel, x_sums, rows, memory);
  Sums<rows> less;
  for (int r = 0; r < rows; ++r) less.of[r] = load(memory + r * kLanes);
  return less;
}

// Decodes the low-rank part's panel, if there is one, for finish_sums.
inline void read_low_rank(const MatmulArgs& a, int64_t panel) {
  if (a.second.x) read_panel(a.second.weight, panel, 0, a.second.x.cols, a.scratch);
}

// Adds the low-rank part and writes.
template <int rows>
void finish_sums(const MatmulArgs& a, int64_t row, int64_t panel, Sums<rows>& sums) {
  const MatrixView<const float>& x = a.second.x;
  if (x)
    for (int64_t k = 0; k < x.cols; ++k)
      sums.add(x.row(row) + k, x.stride, load(a.scratch + k * kLanes));
  for (int r = 0; r < rows; ++r)
    store_first(a.y.row(row + r) + panel * kLanes, sums.of[r] * set1(a.scale), lanes_of(a, panel));
}

}  // namespace lowbit::LOWBIT_ISA
