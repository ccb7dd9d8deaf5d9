// The register tile every matrix product is made of: a few rows of x times one or more panels.
#pragma once

#include <cstring>

#include "core/views.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

// One run of the reduction: a is row-major, b has 16-wide rows `b_stride` floats apart, and the
// panel beside it starts `panel_stride` floats later.
struct Segment {
  const float* a = nullptr;
  int64_t a_stride = 0;
  const float* b = nullptr;
  int64_t b_stride = 0;
  int64_t panel_stride = 0;
  int64_t depth = 0;
};

// The same in 16-bit integers, for the first run alone: a is row-major with a scale for each row,
// b has rows of 16 pairs of depths with a scale for each column. Sums of products must fit int32.
struct IntegerSegment {
  const int16_t* a = nullptr;
  int64_t a_stride = 0;
  const float* a_scales = nullptr;
  int64_t a_scale_stride = 0;
  const int16_t* b = nullptr;
  int64_t panel_stride = 0;
  const float* b_scales = nullptr;  // 16 for each panel
  int64_t depth = 0;                // a multiple of 4
};

struct Tile {
  IntegerSegment integers;  // read by the tiles that say so
  Segment segments[2] = {};
  int segment_count = 0;
  bool accumulate = false;          // start from what c holds; otherwise from bias and residual
  const float* bias = nullptr;      // of the tile's first column
  const float* residual = nullptr;  // of the tile's first element
  int64_t residual_stride = 0;
  float scale = 1.0f;
  float* c = nullptr;
  int64_t c_stride = 0;
  int64_t columns = 0;  // that exist, up to 16 * vectors
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

// sum = the products of an integer segment, as floats.
template <int rows, int vectors>
[[gnu::always_inline]] inline void multiply_integers(const IntegerSegment& s,
                                                     F32 (&sum)[rows][vectors]) {
  constexpr int kBases = (rows + 2) / 3, kPairs = 2;
  const int16_t* base[kBases];
  I32 total[rows][vectors];
  const int64_t stride = s.a_stride, panel_stride = s.panel_stride;
#pragma GCC unroll 8
  for (int i = 0; i < kBases; ++i) base[i] = s.a + 3 * i * stride;
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) total[r][v] = set1i(0);
  const int16_t* b = s.b;
  for (const int16_t* end = s.a + s.depth; base[0] != end; b += kPairs * 2 * kLanes) {
#pragma GCC unroll 2
    for (int pair = 0; pair < kPairs; ++pair) {
      I32 weight[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v)
        weight[v] = load_i32(b + pair * 2 * kLanes + v * panel_stride);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        int32_t bits;
        std::memcpy(&bits, base[r / 3] + r % 3 * stride + 2 * pair, sizeof bits);
        const I32 x = set1i(bits);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v)
          total[r][v] = add_pair_products(total[r][v], x, weight[v]);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kBases; ++i) base[i] += 2 * kPairs;
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      sum[r][v] = to_float(total[r][v]) * load(s.b_scales + v * kLanes) *
                  set1(s.a_scales[r * s.a_scale_stride]);
}

// Not inlined: in the caller's loop the compiler would keep constants of the epilogue in registers
// that the accumulators need, and one spilled accumulator halves the speed.
template <int rows, int vectors, bool integers>
[[gnu::noinline]] void multiply_tile(const Tile& t) {
  F32 sum[rows][vectors];
  if constexpr (integers) multiply_integers<rows, vectors>(t.integers, sum);
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
      F32 start;
      if (t.accumulate) {
        start = full ? load(c) : load_first(c, lanes[v]);
      } else {
        start = t.bias ? load_first(t.bias + v * kLanes, lanes[v]) : zero();
        if (t.residual)
          start = start + load_first(t.residual + r * t.residual_stride + v * kLanes, lanes[v]);
      }
      sum[r][v] = integers ? sum[r][v] + start : start;
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

// As many rows as keep kTileSums accumulators busy with this many vectors of columns.
template <int vectors>
constexpr int kTileRows = kTileSums / vectors < 12 ? kTileSums / vectors : 12;

// All rows in tiles of `limit` rows, and what is left in smaller ones: not one of every size, since
// each is compiled for every instruction set.
template <int vectors, bool integers, int limit = kTileRows<vectors>>
inline void multiply_strip(Tile t, int64_t rows) {
  for (; rows >= limit; rows -= limit) {
    multiply_tile<limit, vectors, integers>(t);
    for (Segment& s : t.segments) s.a += limit * s.a_stride;
    if constexpr (integers) {
      t.integers.a += limit * t.integers.a_stride;
      t.integers.a_scales += limit * t.integers.a_scale_stride;
    }
    if (t.residual) t.residual += limit * t.residual_stride;
    t.c += limit * t.c_stride;
  }
  if constexpr (limit > 1) {
    constexpr int next = limit > 3 ? limit / 2 : limit - 1;
    if (rows > 0) multiply_strip<vectors, integers, next>(t, rows);
  }
}

// A block of c, [rows, columns], whose first tile is `first`: its pointers move, the rest stays.
template <bool integers>
inline void multiply_block(const Tile& first, int64_t rows, int64_t columns) {
  for (int64_t column = 0, wide = 0; column < columns; column += wide) {
    Tile t = first;
    for (Segment& s : t.segments) s.b += column / kLanes * s.panel_stride;
    if constexpr (integers) {
      t.integers.b += column / kLanes * t.integers.panel_stride;
      t.integers.b_scales += column;
    }
    if (t.bias) t.bias += column;
    if (t.residual) t.residual += column;
    t.c += column;
    const int64_t left = columns - column;
    const bool whole = left > (kTileVectors - 1) * kLanes;  // a panel for every vector
    wide = whole ? kTileVectors * kLanes : kLanes;
    t.columns = left < wide ? left : wide;
    if (whole)
      multiply_strip<kTileVectors, integers>(t, rows);
    else
      multiply_strip<1, integers>(t, rows);
  }
}

}  // namespace lowbit::LOWBIT_ISA
