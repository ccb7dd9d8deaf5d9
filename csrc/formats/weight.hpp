// A weight matrix W [rows, cols] as the kernels see it, in any format. Plain data, no vectors.
//
// Dense formats (fp32, bf16, fp16) are row-major. Packed formats ("R16") are made of 64-byte lines
// that do not depend on the machine, so they can be saved, mapped and shared:
//
//   one line = 16 rows x 8 columns of 4-bit codes, or 16 rows x 4 columns of 8-bit codes
//   dword r of the line belongs to row r of the block of 16 rows
//   4 bits: byte b holds column k+b in its low and column k+4+b in its high nibble
//   8 bits: byte b holds column k+b
//
//   lines follow the columns inside a block of 16 rows; blocks follow the rows. Rows beyond the
//   last and columns beyond the last hold the code of zero.
//
// Every `group_size` columns of a row share a scale; group_size == cols means one scale a row. The
// scales of one block and group lie together: scales[block][group][16], numbers of `scale_type`.
// Where the whole tensor has one scale, there are 16 of it, and scale_stride is 0.
//
// With double quantization the scales themselves are 8-bit codes, in the same order:
//   scale = scale_levels[code] * scale_scales[(row * groups + group) / 256] + scale_offset
// The blocks of 256 run over the scales in row-major order, as in the QLoRA paper's code.
//
// Asymmetric matrices have a zero point for each scale, in the same order, counted from the code of
// zero: value = (number of the code - zero point) * scale.
#pragma once

#include <cstdint>

namespace lowbit {

enum class Format : int {
#define FORMAT(name, ...) name,
#include "formats/formats.def"
#undef FORMAT
};

enum class ScaleType : int {
#define SCALE_TYPE(name, bytes) name,
#include "formats/scale_types.def"
#undef SCALE_TYPE
};

constexpr int64_t bytes_of(ScaleType type) {
  switch (type) {
#define SCALE_TYPE(name, bytes) \
  case ScaleType::name:         \
    return bytes;
#include "formats/scale_types.def"
#undef SCALE_TYPE
  }
  return 0;
}

constexpr int kBlockRows = 16;
constexpr int kScaleBlock = 256;

struct WeightView {
  Format format = Format::fp32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // dense only: elements from one row to the next
  const void* data = nullptr;
  int64_t group_size = 0;
  int64_t groups = 0;
  ScaleType scale_type = ScaleType::fp32;
  const uint8_t* scales = nullptr;  // bytes of numbers
  int64_t scale_stride = 0;         // numbers from one block to the next
  const float* scale_levels = nullptr;
  const float* scale_scales = nullptr;
  float scale_offset = 0;
  const int8_t* zeros = nullptr;  // null where the matrix is symmetric

  const uint8_t* lines(int64_t block, int64_t columns_per_line) const {
    const int64_t per_block = (cols + columns_per_line - 1) / columns_per_line;
    return static_cast<const uint8_t*>(data) + block * per_block * 64;
  }
};

inline WeightView dense_weight(const float* data, int64_t rows, int64_t cols, int64_t stride) {
  WeightView w;
  w.rows = rows, w.cols = cols, w.stride = stride, w.data = data;
  return w;
}

}  // namespace lowbit
