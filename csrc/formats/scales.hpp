// The scales of packed formats, plain or doubly quantized.
#pragma once

#include "formats/weight.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

// The 16 scales of (block, group).
inline F32 load_scales(const WeightView& w, int64_t block, int64_t group) {
  const int64_t first = (block * w.groups + group) * kBlockRows;
  if (w.scales) return load(w.scales + first);
  float scale[kBlockRows];
  for (int r = 0; r < kBlockRows; ++r) {
    const int64_t row = block * kBlockRows + r;
    const int64_t flat = (row < w.rows ? row : w.rows - 1) * w.groups + group;
    scale[r] = w.scale_levels[w.scale_codes[first + r]] * w.scale_scales[flat / kScaleBlock] +
               w.scale_offset;
  }
  return load(scale);
}

}  // namespace lowbit::LOWBIT_ISA
