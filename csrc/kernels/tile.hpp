// The register tile every matrix product is made of: a few rows of x times one or more panels.
#pragma once

#include "core/views.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

// One run of the reduction: a is row-major, b has 16-wide rows `b_stride` floats apart, and the
// panel beside it starts `panel_stride` floats later.
struct Segment {
  const float* a;
  int64_t a_stride;
  const float* b;
  int64_t b_stride;
  int64_t panel_stride;
  int64_t depth;
};

struct Tile {
  Segment segments[2];
  int segment_count;
  bool accumulate;        // start from what c holds; otherwise from bias and residual
  const float* bias;      // of the tile's first column, or null
  const float* residual;  // of the tile's first element, or null
  int64_t residual_stride;
  float scale;
  float* c;
  int64_t c_stride;
  int64_t columns;  // that exist, up to 16 * vectors
};

// Rows are addressed from one pointer per three rows (base, base + stride, base + 2 stride), which
// x86 can express; one pointer or offset per row would not leave enough general registers.
template <int rows, int vectors>
[[gnu::always_inline]] inline void multiply_segment(const Segment& s, F32 (&sum)[rows][vectors]) {
  constexpr int kBases = (rows + 2) / 3;
  const float* base[kBases];
  const int64_t stride = s.a_stride, b_stride = s.b_stride, panel_stride = s.panel_stride;
#pragma GCC unroll 8
  for (int i = 0; i < kBases; ++i) base[i] = s.a + 3 * i * stride;
  const float* b = s.b;
  for (const float* end = s.a + s.depth; base[0] != end; b += b_stride) {
    F32 weight[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) weight[v] = load(b + v * panel_stride);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const F32 x = set1(base[r / 3][r % 3 * stride]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[r][v] = fma(x, weight[v], sum[r][v]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kBases; ++i) ++base[i];
  }
}

// Not inlined: in the caller's loop the compiler would keep constants of the epilogue in registers
// that the accumulators need, and one spilled accumulator halves the speed.
template <int rows, int vectors>
[[gnu::noinline]] void multiply_tile(const Tile& t) {
  F32 sum[rows][vectors];
  int lanes[vectors];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) {
    const int64_t left = t.columns - v * kLanes;
    lanes[v] = static_cast<int>(left < 0 ? 0 : left < kLanes ? left : kLanes);
  }
  const bool full = t.columns == vectors * kLanes;
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const float* c = t.c + r * t.c_stride + v * kLanes;
      if (t.accumulate) {
        sum[r][v] = full ? load(c) : load_first(c, lanes[v]);
        continue;
      }
      F32 start = t.bias ? load_first(t.bias + v * kLanes, lanes[v]) : zero();
      if (t.residual)
        start = start + load_first(t.residual + r * t.residual_stride + v * kLanes, lanes[v]);
      sum[r][v] = start;
    }
  for (int i = 0; i < t.segment_count; ++i) multiply_segment<rows, vectors>(t.segments[i], sum);
  const F32 scale = set1(t.scale);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      float* c = t.c + r * t.c_stride + v * kLanes;
      const F32 y = sum[r][v] * scale;
      if (full)
        store(c, y);
      else
        store_first(c, y, lanes[v]);
    }
}

// Picks the tile with the right number of rows, 1 <= rows <= limit.
template <int vectors, int limit = kTileRows>
inline void multiply_rows(const Tile& t, int64_t rows) {
  if constexpr (limit > 1) {
    if (rows < limit) return multiply_rows<vectors, limit - 1>(t, rows);
  }
  multiply_tile<limit, vectors>(t);
}

// c [rows, columns] = scale * (a b + what c held when `accumulate`), for operands that fit a cache:
// a is row-major, b is made of panels.
struct SmallProduct {
  Segment segment;  // of the first row and the first panel
  int64_t rows, columns;
  float scale;
  bool accumulate;
  float* c;
  int64_t c_stride;
};

inline void multiply_small(const SmallProduct& p) {
  Tile t{};
  t.segment_count = 1;
  t.accumulate = p.accumulate;
  t.scale = p.scale;
  t.c_stride = p.c_stride;
  t.segments[0] = p.segment;
  for (int64_t column = 0; column < p.columns; column += kLanes) {
    t.segments[0].b = p.segment.b + column / kLanes * p.segment.panel_stride;
    t.columns = p.columns - column < kLanes ? p.columns - column : kLanes;
    for (int64_t row = 0; row < p.rows; row += kTileRows) {
      t.segments[0].a = p.segment.a + row * p.segment.a_stride;
      t.c = p.c + row * p.c_stride + column;
      multiply_rows<1>(t, p.rows - row < kTileRows ? p.rows - row : kTileRows);
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
