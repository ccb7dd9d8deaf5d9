// An embedding table [rows, cols] as the kernels see it: fp32, bf16, fp16, or int8 with a scale per
// row. Rows are contiguous, since a look-up reads whole rows; weights of products use weight.hpp.
#pragma once

#include <cstdint>

#include "formats/weight.hpp"

namespace lowbit {

struct TableView {
  Format format = Format::fp32;  // fp32, bf16, fp16 or int8
  int64_t rows = 0, cols = 0;
  const void* data = nullptr;
  const float* scales = nullptr;  // int8 only, [rows]
};

}  // namespace lowbit
