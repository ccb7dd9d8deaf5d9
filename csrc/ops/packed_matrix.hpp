// A weight matrix that owns its codes and scales.
#pragma once

#include <vector>

#include "core/memory.hpp"
#include "core/views.hpp"
#include "ops/formats.hpp"

namespace lowbit::ops {

struct PackedMatrix {
  Format format = Format::nf4;
  int64_t rows = 0, cols = 0;
  int64_t group_size = 0, groups = 0;  // group_size == cols: one scale a row
  Memory<uint8_t> lines;  // 64-byte aligned: a line never straddles a cache line
  int64_t line_bytes = 0;
  std::vector<float> scales;         // empty when double_quant
  std::vector<uint8_t> scale_codes;  // double_quant only, as are the next three
  std::vector<float> scale_scales;
  float scale_offset = 0;

  bool double_quant() const { return !scale_codes.empty(); }
  int64_t blocks() const { return ceil_div(rows, kBlockRows); }
  WeightView view() const;
  // Bytes that the matrix itself needs; padding to blocks of 16 rows is counted, as it is stored.
  int64_t nbytes() const;
};

// The 256 values of the signed 8-bit "dynamic" map of bitsandbytes, ascending: exponent bits in
// unary, then a linear fraction.
const float* dynamic_map();

// Rounds w [rows, cols] to a packed format. group_size: a power of two from 16, or 0 for one scale
// a row. double_quant rounds the scales themselves to 8 bits in blocks of 256.
PackedMatrix quantize(MatrixView<const float> w, const std::string& format, int64_t group_size,
                      bool double_quant);

// Rounds w to scales [rows, groups] that somebody chose. double_quant rounds these first, so that
// codes fit the scales that are stored.
PackedMatrix quantize_to(MatrixView<const float> w, MatrixView<const float> scales,
                         const std::string& format, int64_t group_size, bool double_quant);

void dequantize(const WeightView& w, MatrixView<float> out);

// An empty matrix of the right sizes, for reading one back from its parts. Checks every argument.
PackedMatrix allocate(const char* function, const std::string& format, int64_t rows, int64_t cols,
                      int64_t group_size, bool double_quant);

}  // namespace lowbit::ops
