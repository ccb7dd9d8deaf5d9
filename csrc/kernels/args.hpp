// What each kernel is given: one plain struct per kernel is its contract. Kernels check nothing,
// allocate nothing and start no threads; csrc/ops does all three.
#pragma once

#include <cstdint>

#include "core/byte_masks.hpp"
#include "core/views.hpp"
#include "formats/weight.hpp"

namespace lowbit {

// What a probe drives to its limit.
enum class Limit : int { read, fma, pairs, bytes, tiles, byte_tiles };

// Reads `bytes`, or multiplies `repeats` times in every register of a tile; probe_tiles has four
// matrix tiles of sums.
struct ProbeArgs {
  Limit limit;
  const uint8_t* data;  // at least kProbeStep bytes; probe_tiles: kProbeTileBytes
  int64_t bytes;        // read: a multiple of kProbeStep
  int64_t repeats;      // fma, pairs, bytes
  float* result;        // one float that depends on everything
};

constexpr int64_t kProbeStep = 256, kProbeTileBytes = 16384;

// Rows [16 block_begin, 16 block_end) of `source` into codes and scales of a packed format, or into
// codes for the scales and zero points that are there. Scales are rounded to `scale_type` before
// codes are chosen, but written as floats.
struct QuantizeArgs {
  MatrixView<const float> source;  // [rows, cols]
  Format format;
  int64_t group_size, groups;
  ScaleType scale_type;
  uint8_t* lines;  // as WeightView::data
  float* scales;   // in the order of WeightView::scales
  int8_t* zeros;   // as WeightView::zeros; null to round around zero
  bool given;      // whether scales are there, and zeros
  int64_t block_begin, block_end;
  float* scratch;  // kQuantizeScratch floats
  bool* flawed;    // becomes true where a value or a scale is infinite or NaN
};

// Columns of a group that are read once; the panel stays in the second-level cache.
constexpr int64_t kQuantizeColumns = 4096;
constexpr int64_t kQuantizeScratch = kBlockRows * kQuantizeColumns;

// Rows [16 block_begin, 16 block_end) of any format to floats.
struct DequantizeArgs {
  WeightView source;
  MatrixView<float> out;  // [rows, cols]; each row aligned to 64 bytes to be streamed
  int64_t block_begin, block_end;
  bool stream;
};

// Elements [begin, end) of an array of 16-bit floats to float32.
struct ToFloat32Args {
  Format format;  // of the words
  const uint16_t* words;
  float* values;
  int64_t begin, end;
};

// And back, to nearest even.
struct FromFloat32Args {
  Format format;
  const float* values;
  uint16_t* words;
  int64_t begin, end;
};

// Rows [16 block_begin, 16 block_end) of x to bfloat16 tiles, zero beyond the last row and column:
// tile (i, j) holds rows 16 i.. and columns 32 j.. of x, row-major; tiles follow the columns, then
// the rows.
struct PackTilesArgs {
  MatrixView<const float> x;
  uint16_t* tiles;  // packed_tiles(x.rows, x.cols) elements
  int64_t block_begin, block_end;
};

inline int64_t packed_tiles(int64_t rows, int64_t cols) {
  return round_up(rows, 16) * round_up(cols, 32);
}

// Depth decoded at a time: 16 x 384 floats, 24 kB, leave room for rows of x in a 32 kB cache.
constexpr int64_t kMatmulDepth = 384;
// Panels decoded at a time: x is read from memory once for every 64 columns.
constexpr int64_t kMatmulPanels = 4;

// Rows of x as 16-bit integers, with a scale for each row and each stretch of kMatmulDepth columns;
// zero from the last column to the next multiple of 16.
struct Int16Rows {
  const int16_t* codes = nullptr;  // [rows, stride]
  const float* scales = nullptr;   // [rows, stretches]
  int64_t stride = 0;              // of int16_stride(x.cols)
  int64_t stretches = 0;
};

// An odd number of cache lines: rows a power of two apart would take the same few places of the
// first-level cache.
inline int64_t int16_stride(int64_t cols) { return round_up(cols, 32) | 32; }

// Rows [row_begin, row_end) of x to Int16Rows.
struct PackInt16Args {
  MatrixView<const float> x;
  int16_t* codes;
  float* scales;
  int64_t stride, stretches;
  int64_t row_begin, row_end;
};

// How values of x become bytes. Either the largest of a block or of a row becomes 127; or scale and
// zero point are given, and a value is (byte - zero_point) * scale, rounded as fake_quantize does
// and cut to low..high, which has the zero point in it and lies in -127..127.
enum class Int8Scale : int { block, row, given };
struct Int8Rounding {
  Int8Scale of = Int8Scale::block;
  float scale = 1;  // given, as are the next three
  int32_t zero_point = 0;
  int32_t low = -127, high = 127;
};

// Rows of x as signed bytes, with a scale for each row and each `block` columns, in which the unit
// of the weight's integers is; zero beyond the last column. A block has one `piece` or several,
// columns that share a scale of the weight. As many rows as the kernel multiplies together lie
// together: four columns of each, then the next four, so that a product reads one stream; 16 rows
// and 64 columns of each for tiles.
struct Int8Rows {
  const int8_t* codes = nullptr;    // [groups of rows][stride / columns][rows of a group][columns]
  const float* scales = nullptr;    // [groups of rows][blocks][rows of a group]
  const int32_t* starts = nullptr;  // [groups of rows][pieces][rows of a group]: what sums begin
                                    // with to be right in the end
  const float* sums = nullptr;      // [rows][groups of the weight]: of x as it is rounded, where
                                    // the weight has zero points
  bool tiles = false;
  int64_t stride = 0;  // a multiple of 16, and of 64 for tiles
  int64_t block = 0, blocks = 0;
  int64_t piece = 0, pieces = 0;  // `piece` is a multiple of 16, or at least the columns
  int32_t zero_point = 0;         // the byte that stands for 0
};

// Columns that share a scale in Int8Rows at most, so that sums of products stay integers that
// float32 has: 1024 * 127^2 < 2^24.
constexpr int64_t kMostInt8Block = 1024;

// Rows [16 block_begin, 16 block_end) of x to Int8Rows, for products with weights in `format`. Room
// for whole blocks of 16 rows.
struct PackInt8Args {
  MatrixView<const float> x;
  Format format;
  Int8Rounding rounding;
  int8_t* codes;
  float* scales;
  int32_t* starts;
  float* sums;  // null where the weight has no zero points
  int64_t group_size, groups;  // of the weight
  bool tiles;
  int64_t stride, block, blocks, piece, pieces;
  int64_t block_begin, block_end;
};

// One product of the sum that a matmul computes: x W^T, or x W when `transposed`.
struct Product {
  MatrixView<const float> x;        // [M, depth], or a band of its columns
  WeightView weight;                // [N, depth], or [depth, N] when transposed
  const uint16_t* tiles = nullptr;  // x as pack_tiles leaves it; matmul_tiles reads only these
  Int16Rows int16 = {};             // x as pack_int16 leaves it; matmul_int16 reads only these
  Int8Rows int8 = {};               // x as pack_int8 leaves it; matmul_int8 reads only these
  int64_t depth_begin = 0;          // the weight's depth at which the band of x begins
};

// y = scale * (sum of products + bias + residual), for one range of rows and of 16-wide panels of
// columns. Each element of y is summed by one call in the order of the depth, so the result does
// not depend on how the ranges are cut. matmul, matmul_int16 and matmul_tiles also take the first
// product in bands, one call after the other: the first begins y, the last adds the second product.
// matmul_tiles rounds x and W to bfloat16 first and wants row_begin to be a multiple of 32, as does
// matmul_int8_tiles; matmul_int8 wants a multiple of 16.
struct MatmulArgs {
  Product first;
  Product second;  // the low-rank part; x.data is null when there is none
  bool transposed;
  const float* bias;                 // [N] or null
  MatrixView<const float> residual;  // [M, N] or null
  float scale;
  MatrixView<float> y;  // [M, N]
  int64_t row_begin, row_end;
  int64_t panel_begin, panel_end;
  float* scratch;  // matmul_scratch(...) floats, or that of the kernel
  // What comes after this product: matmul_int8 asks for it in its course, four bytes for each
  // weight. Null when it is in the cache, or unknown.
  const uint8_t* next = nullptr;

  bool first_band() const { return first.depth_begin == 0; }
  bool last_band() const {
    const int64_t depth = transposed ? first.weight.rows : first.weight.cols;
    return first.depth_begin + first.x.cols == depth;
  }
};

// Columns from which few rows are multiplied with dense weights as they lie, a dot product each.
constexpr int64_t kShortestDot = 64;

// Where matmul_few has the sums of x in each group of an asymmetric weight, for up to 8 rows.
inline int64_t matmul_few_sums(int64_t second_depth) {
  return 16 * round_up(second_depth > kShortestDot ? second_depth : kShortestDot, 16);
}
inline int64_t matmul_few_scratch(int64_t second_depth, const WeightView& w) {
  return matmul_few_sums(second_depth) + (w.zeros ? 8 * w.groups : 0);
}

inline int64_t matmul_scratch(int64_t second_depth) {
  return kMatmulPanels * 16 * (kMatmulDepth + round_up(second_depth, 16));
}

// Of matmul_int16, in floats: scales and codes of the panels, and one panel before it is rounded.
constexpr int64_t kMatmulInt16Scratch =
    kMatmulPanels * 16 * (1 + kMatmulDepth / 2) + 16 * kMatmulDepth;

// Of matmul_int8: the low-rank part of a panel, and what sums of four panels begin with.
inline int64_t matmul_int8_scratch(int64_t second_depth, int64_t pieces) {
  return 16 * (second_depth + kMatmulPanels * pieces);
}

inline int64_t matmul_int16_scratch(int64_t second_depth) {
  return kMatmulInt16Scratch + kMatmulPanels * 16 * round_up(second_depth, 16);
}

// Depth rounded at a time by matmul_tiles: two panels of 16 x 512 bfloat16 are 32 kB.
constexpr int64_t kMatmulTileDepth = 512;

inline int64_t matmul_tiles_scratch(int64_t second_depth) {
  return kMatmulPanels * 16 * (kMatmulTileDepth + round_up(second_depth, 32)) / 2;
}

// Depth unpacked at a time by matmul_int8_tiles: four panels of 16 x 1024 bytes are 64 kB. It has
// pieces of 64 columns at least.
constexpr int64_t kMatmulInt8TileDepth = 1024;
constexpr int64_t kMostInt8TilePieces = kMatmulInt8TileDepth / 64;

inline int64_t matmul_int8_tiles_scratch(int64_t second_depth) {
  return kMatmulPanels * 16 *
         (kMatmulInt8TileDepth / 4 + kMostInt8TilePieces + round_up(second_depth, 16));
}

// Classifies kMaskBytes * blocks bytes of a text.
struct ClassifyArgs {
  const uint8_t* text;
  int64_t blocks;
  ByteMasks* masks;  // [blocks]
};

// Finds the classes of code points beyond ASCII among 64 bytes of a text.
struct ClassifyPointsArgs {
  const uint8_t* text;     // [64]
  const uint16_t* pages;   // by code point / 64
  const PointPage* table;  // by page
  const uint8_t* uniform;  // by first byte: 0, or the classes of all points that start with it,
                           // a bit each, and kUniform
  int classes;             // how many of them are wanted
  uint64_t* masks;         // [classes]: first bytes of points that are in the class
  uint64_t* leads;         // first bytes of all; points that end behind the 64 are in no class
};

// Lists the set bits of masks, bit 0 of the first being `base`.
struct ListBitsArgs {
  const uint64_t* masks;
  int64_t blocks;
  uint32_t base;
  uint32_t* places;  // [64 * blocks + kMorePlaces]
  int64_t* count;
};

}  // namespace lowbit
