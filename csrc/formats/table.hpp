// An embedding table [rows, cols] as the kernels see it: fp32, bf16, fp16, int8 with a scale per
// row, or int4 with a scale per group, whose rows are contiguous; or a packed matrix of weight.hpp,
// whose rows lie 16 side by side, which takes longest to look up.
//
// A row of int4 is row_bytes long, a multiple of 16: first its codes, 16 bytes for 32 columns, of
// which byte b holds column b in its low and column 16 + b in its high nibble; then one float per
// group. Columns beyond the last hold the code of zero.
#pragma once

#include <cstdint>

#include "formats/weight.hpp"

namespace lowbit {

struct TableView {
  Format format = Format::fp32;
  int64_t rows = 0, cols = 0;
  const void* data = nullptr;
  const float* scales = nullptr;  // int8 only, [rows]
  WeightView packed = {};         // instead of data
  int64_t row_bytes = 0;          // int4 only, as is the next
  int group_shift = 0;            // column >> group_shift is its group
};

// Bytes of a row's int4 codes, which its scales follow.
constexpr int64_t int4_code_bytes(int64_t cols) { return (cols + 31) / 32 * 16; }

}  // namespace lowbit
