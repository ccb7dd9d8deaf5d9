// The AMX and AVX512_BF16 intrinsics used by csrc/simd/amx.hpp. Tiles belong to a thread, as in the
// processor; a use that the processor answers with a fault aborts with a message.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace lowbit::LOWBIT_ISA::emulated {

struct TileConfig {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

struct TileUnit {
  TileConfig config{};
  alignas(64) uint8_t data[8][16][64] = {};
};

// One for all files: the linker keeps one copy of what they include.
inline thread_local TileUnit tile_unit;

inline void require(bool holds, const char* rule) {
  if (holds) return;
  std::fprintf(stderr, "emulated AMX: %s\n", rule);
  std::abort();
}

inline void require_tile(int tile) {
  const TileConfig& c = tile_unit.config;
  require(c.palette == 1, "tile used before _tile_loadconfig or after _tile_release");
  require(tile >= 0 && tile < 8 && c.rows[tile] > 0 && c.row_bytes[tile] > 0,
          "tile not configured");
}

inline void tile_loadconfig(const void* p) {
  TileUnit& unit = tile_unit;
  require(unit.config.palette == 0, "_tile_loadconfig without _tile_release before it");
  std::memcpy(&unit.config, p, sizeof unit.config);
  const TileConfig& c = unit.config;
  require(c.palette == 1, "palette is not 1");
  require(c.start_row == 0, "start_row is not 0");
  for (uint8_t byte : c.reserved) require(byte == 0, "reserved bytes of the configuration not 0");
  for (int t = 0; t < 16; ++t) {
    require(c.row_bytes[t] <= 64 && c.rows[t] <= 16, "tile larger than 16 rows x 64 bytes");
    require(t < 8 || (c.row_bytes[t] == 0 && c.rows[t] == 0), "more than 8 tiles");
    require((c.row_bytes[t] == 0) == (c.rows[t] == 0), "tile with rows but no columns");
  }
  std::memset(unit.data, 0, sizeof unit.data);
}
inline void tile_release() { tile_unit = {}; }
inline void tile_zero(int tile) {
  require_tile(tile);
  std::memset(tile_unit.data[tile], 0, sizeof tile_unit.data[tile]);
}
inline void tile_loadd(int tile, const void* base, long stride) {
  tile_zero(tile);
  const TileConfig& c = tile_unit.config;
  for (int r = 0; r < c.rows[tile]; ++r)
    std::memcpy(tile_unit.data[tile][r], static_cast<const char*>(base) + r * stride,
                c.row_bytes[tile]);
}
inline void tile_stored(int tile, void* base, long stride) {
  require_tile(tile);
  const TileConfig& c = tile_unit.config;
  for (int r = 0; r < c.rows[tile]; ++r)
    std::memcpy(static_cast<char*>(base) + r * stride, tile_unit.data[tile][r],
                c.row_bytes[tile]);
}

// Denormals become zero with their sign: the processor neither reads nor writes them in tiles.
inline uint32_t flushed(uint32_t word) {
  return (word & 0x7f800000u) != 0 ? word : word & 0x80000000u;
}
inline float flushed(float v) {
  uint32_t word;
  std::memcpy(&word, &v, sizeof word);
  word = flushed(word);
  std::memcpy(&v, &word, sizeof v);
  return v;
}

// The even and the odd bfloat16 elements of every row of a tile as floats.
struct Widened {
  alignas(64) float part[2][16][16];
  explicit Widened(int tile) {
    for (int r = 0; r < 16; ++r) {
      uint32_t pair[16];
      std::memcpy(pair, tile_unit.data[tile][r], sizeof pair);
      uint32_t even[16], odd[16];
      for (int i = 0; i < 16; ++i) {
        even[i] = flushed(pair[i] << 16);
        odd[i] = flushed(pair[i] & 0xffff0000u);
      }
      std::memcpy(part[0][r], even, sizeof even);
      std::memcpy(part[1][r], odd, sizeof odd);
    }
  }
};

// Two sums a lane, over the even and the odd elements, then their sum onto the tile: the order and
// the roundings that the manual gives.
inline void tile_dpbf16ps(int c, int a, int b) {
  require_tile(c), require_tile(a), require_tile(b);
  require(c != a && c != b && a != b, "_tile_dpbf16ps: two operands are the same tile");
  const TileConfig& config = tile_unit.config;
  const int rows = config.rows[c], depth = config.row_bytes[a] / 4,
            columns = config.row_bytes[c] / 4;
  require(config.rows[a] == rows && config.rows[b] == depth &&
              config.row_bytes[b] == config.row_bytes[c],
          "_tile_dpbf16ps: shapes of the tiles do not fit");
  const Widened x(a), w(b);
  for (int m = 0; m < rows; ++m) {
    float sum[2][16] = {}, out[16];
    for (int part = 0; part < 2; ++part)
      for (int k = 0; k < depth; ++k)
        for (int n = 0; n < columns; ++n)
          sum[part][n] = std::fmaf(x.part[part][m][k], w.part[part][k][n], sum[part][n]);
    std::memcpy(out, tile_unit.data[c][m], sizeof out);
    for (int n = 0; n < columns; ++n) out[n] = flushed(out[n] + flushed(sum[0][n] + sum[1][n]));
    std::memcpy(tile_unit.data[c][m], out, sizeof out);
  }
}

// Signed bytes of a times bytes of b without sign, four to a lane.
inline void tile_dpbsud(int c, int a, int b) {
  require_tile(c), require_tile(a), require_tile(b);
  require(c != a && c != b && a != b, "_tile_dpbsud: two operands are the same tile");
  const TileConfig& config = tile_unit.config;
  const int rows = config.rows[c], depth = config.row_bytes[a], columns = config.row_bytes[c] / 4;
  require(config.rows[a] == rows && config.rows[b] == depth / 4 &&
              config.row_bytes[b] == config.row_bytes[c],
          "_tile_dpbsud: shapes of the tiles do not fit");
  for (int m = 0; m < rows; ++m) {
    int32_t out[16];
    std::memcpy(out, tile_unit.data[c][m], sizeof out);
    for (int k = 0; k < depth; ++k)
      for (int n = 0; n < columns; ++n)
        out[n] += static_cast<int8_t>(tile_unit.data[a][m][k]) *
                  tile_unit.data[b][k / 4][4 * n + k % 4];
    std::memcpy(tile_unit.data[c][m], out, sizeof out);
  }
}

// bfloat16, nearest even; denormals become zero.
inline uint16_t narrowed(float v) {
  uint32_t word;
  std::memcpy(&word, &v, sizeof word);
  word = flushed(word);
  const uint32_t nearest = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
  const uint32_t quiet = (word >> 16) | 0x40u;
  return static_cast<uint16_t>((word & 0x7fffffffu) > 0x7f800000u ? quiet : nearest);
}
// Elements 0..15 from `low`, 16..31 from `high`.
LOWBIT_EMULATED __m512i mm512_cvtne2ps_pbh(__m512 high, __m512 low) {
  const Floats a{low}, b{high};
  Split<__m512i, __m256i, uint16_t> out;
  for (int i = 0; i < 16; ++i) {
    out.lane[i] = narrowed(a.lane[i]);
    out.lane[16 + i] = narrowed(b.lane[i]);
  }
  return out.whole;
}
LOWBIT_EMULATED __m512i mm512_permutexvar_epi16(__m512i index, __m512i v) {
  const Shorts which{index}, in{v};
  Shorts out;
  for (int i = 0; i < 32; ++i) out.lane[i] = in.lane[which.lane[i] & 31];
  return out.whole;
}

}  // namespace lowbit::LOWBIT_ISA::emulated

#undef _tile_loadconfig
#define _tile_loadconfig LOWBIT_CALL(tile_loadconfig)
#undef _tile_release
#define _tile_release LOWBIT_CALL(tile_release)
#undef _tile_zero
#define _tile_zero LOWBIT_CALL(tile_zero)
#undef _tile_loadd
#define _tile_loadd LOWBIT_CALL(tile_loadd)
#undef _tile_stored
#define _tile_stored LOWBIT_CALL(tile_stored)
#undef _tile_dpbf16ps
#define _tile_dpbf16ps LOWBIT_CALL(tile_dpbf16ps)
#undef _tile_dpbsud
#define _tile_dpbsud LOWBIT_CALL(tile_dpbsud)
#undef _mm512_cvtne2ps_pbh
#define _mm512_cvtne2ps_pbh LOWBIT_CALL(mm512_cvtne2ps_pbh)
#undef _mm512_permutexvar_epi16
#define _mm512_permutexvar_epi16 LOWBIT_CALL(mm512_permutexvar_epi16)
