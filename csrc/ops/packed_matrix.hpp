// A weight matrix that owns its codes and scales.
#pragma once

#include <string>
#include <vector>

#include "core/memory.hpp"
#include "core/views.hpp"
#include "ops/formats.hpp"

namespace lowbit::ops {

// How a matrix shall be stored.
struct Storage {
  std::string format = "nf4";
  int64_t group_size = 0;  // a power of two from 16; 0: one scale a row; kWholeTensor: one for all
  bool double_quant = false;  // scales in 8 bits, in blocks of 256; those of mxfp4 are anyway
  std::string scale_dtype = "";  // of scale_types.def; "" for the format's own
  bool symmetric = true;  // without zero points
};
constexpr int64_t kWholeTensor = -1;

struct PackedMatrix {
  Format format = Format::nf4;
  int64_t rows = 0, cols = 0;
  int64_t group_size = 0, groups = 0;  // group_size == cols: one scale a row
  bool per_tensor = false;             // one scale for all rows; group_size == cols, too
  Memory<uint8_t> lines;  // 64-byte aligned: a line never straddles a cache line
  int64_t line_bytes = 0;
  ScaleType scale_type = ScaleType::fp32;
  KeptVector<uint8_t> scales;       // bytes of numbers
  std::vector<float> scale_scales;  // double_quant only, as is the next
  float scale_offset = 0;
  bool symmetric = true;
  KeptVector<int8_t> zeros;  // as many as scales, or none where the matrix is symmetric

  bool double_quant() const { return scale_type == ScaleType::dynamic8; }
  int64_t blocks() const { return ceil_div(rows, kBlockRows); }
  int64_t scale_count() const { return per_tensor ? groups * kBlockRows : every_scale(); }
  int64_t every_scale() const { return blocks() * groups * kBlockRows; }  // one for each row
  WeightView view() const;
  // Bytes that the matrix itself needs; padding to blocks of 16 rows is counted, as it is stored.
  int64_t nbytes() const;
};

// The 256 values of the signed 8-bit "dynamic" map of bitsandbytes, ascending: exponent bits in
// unary, then a linear fraction.
const float* dynamic_map();

// Rounds w [rows, cols] to a packed format. Scales are rounded to their type before codes are
// chosen, but for double quantization, where codes are those of the scales before, as in the QLoRA
// paper's code.
PackedMatrix quantize(MatrixView<const float> w, const Storage& storage);

// Rounds w to scales [rows, groups] that somebody chose, and to zero points, which are codes, where
// the matrix is not symmetric. Scales are rounded to what is stored first, also by double
// quantization, so that codes fit the scales that are stored.
PackedMatrix quantize_to(MatrixView<const float> w, MatrixView<const float> scales,
                         MatrixView<const int32_t> zeros, const Storage& storage);

void dequantize(const WeightView& w, MatrixView<float> out);

// An empty matrix of the right sizes, for reading one back from its parts. Checks every argument.
PackedMatrix allocate(const char* function, const Storage& storage, int64_t rows, int64_t cols);

}  // namespace lowbit::ops
