// An embedding table [rows, cols] as the kernels see it: fp32, bf16, fp16, or int8 with a scale per
// row, whose rows are contiguous; or a packed matrix of weight.hpp, whose rows lie 16 side by side.
// The latter takes least memory, and longest to look up.
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
};

}  // namespace lowbit
