// AMX: products of tiles of bfloat16, summed in float32, and of bytes, summed in int32. Beside
// avx512.hpp, for the kernels that only tiles can do; no other instruction set has these functions.
//
// All eight tiles have 16 rows of 64 bytes. Two by two of them hold sums, two hold rows of x, two
// hold columns of the weight:
//
//              columns: 6     7
//   rows: 4             0     1       sums(r, c) += a(r) * b(c)
//         5             2     3
//
//   a(r)  16 rows x 32 depths, row-major
//   b(c)  16 pairs of depths x 16 columns; the two depths of a pair lie side by side
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

constexpr int kTileDepths = 32;     // of one step of a tile product
constexpr int kTileElements = 512;  // bfloat16 values in a tile
constexpr int kByteTileDepths = 64;

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Tiles are ready while this lives. Made inside every kernel call and never kept: other libraries
// in the process configure the same registers, and a thread that holds tiles is slow to switch.
class TileScope {
 public:
  TileScope() {
    const TileConfig config;
    // GCC 12 believes that only the first 8 bytes are read and may not store the others.
    asm volatile("" ::"r"(&config) : "memory");
    _tile_loadconfig(&config);
  }
  ~TileScope() { _tile_release(); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

// Sums of `rows` x `columns` tiles, each 1 or 2, to zero.
template <int rows, int columns>
inline void clear_sums() {
  _tile_zero(0);
  if constexpr (columns > 1) _tile_zero(1);
  if constexpr (rows > 1) _tile_zero(2);
  if constexpr (rows > 1 && columns > 1) _tile_zero(3);
}

// sums += a b over `steps` steps of the depth. The tiles of a row of tiles and of a panel follow
// each other; the second row of tiles lies `a_next`, the second panel `b_next` elements later.
template <int rows, int columns>
inline void multiply_tiles(const uint16_t* a, int64_t a_next, const uint16_t* b, int64_t b_next,
                           int64_t steps) {
  // The tile loads do not tell the compiler which memory they read.
  asm volatile("" ::: "memory");
  for (int64_t i = 0; i < steps; ++i, a += kTileElements, b += kTileElements) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (columns > 1) {
      _tile_loadd(7, b + b_next, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (rows > 1) {
      _tile_loadd(5, a + a_next, 64);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (rows > 1 && columns > 1) _tile_dpbf16ps(3, 5, 7);
  }
}

// The same in integers: a has signed bytes, b bytes without sign, kByteTileDepths of them a step; a
// tile is 1024 bytes.
template <int rows, int columns>
inline void multiply_byte_tiles(const int8_t* a, int64_t a_next, const uint8_t* b, int64_t b_next,
                                int64_t steps) {
  asm volatile("" ::: "memory");
  for (int64_t i = 0; i < steps; ++i, a += 1024, b += 1024) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_dpbsud(0, 4, 6);
    if constexpr (columns > 1) {
      _tile_loadd(7, b + b_next, 64);
      _tile_dpbsud(1, 4, 7);
    }
    if constexpr (rows > 1) {
      _tile_loadd(5, a + a_next, 64);
      _tile_dpbsud(2, 5, 6);
    }
    if constexpr (rows > 1 && columns > 1) _tile_dpbsud(3, 5, 7);
  }
}

// out[16 rows][16 columns], `stride` floats from one row to the next.
template <int rows, int columns>
inline void store_sums(float* out, int64_t stride) {
  const long bytes = static_cast<long>(stride * static_cast<int64_t>(sizeof(float)));
  _tile_stored(0, out, bytes);
  if constexpr (columns > 1) _tile_stored(1, out + 16, bytes);
  if constexpr (rows > 1) _tile_stored(2, out + 16 * stride, bytes);
  if constexpr (rows > 1 && columns > 1) _tile_stored(3, out + 16 * stride + 16, bytes);
  asm volatile("" ::: "memory");
}

// 32 values of a row of x, to nearest even; denormals become zero, as in the tile product itself.
inline void store_tile_row(uint16_t* p, F32 low, F32 high) {
  _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(high.v, low.v));
}

namespace detail {
alignas(64) constexpr uint16_t kInterleave[32] = {
    0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
    8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
}

// Two depths of 16 columns, side by side.
inline void store_tile_pair(uint16_t* p, F32 even, F32 odd) {
  const __m512i words = (__m512i)_mm512_cvtne2ps_pbh(odd.v, even.v);
  const __m512i order = _mm512_loadu_si512(detail::kInterleave);
  _mm512_storeu_si512(p, _mm512_permutexvar_epi16(order, words));
}

}  // namespace lowbit::LOWBIT_ISA
