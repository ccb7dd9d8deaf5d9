// The scales of packed formats, plain or doubly quantized.
#pragma once

#include "formats/weight.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

// The scales of one block of 16 rows, a group at a time.
class BlockScales {
 public:
  BlockScales() = default;
  BlockScales(const WeightView& w, int64_t block)
      : w_(&w),
        first_(block * kBlockRows),
        constant_(!w.scales && w.groups > 0 && kScaleBlock % w.groups == 0) {
    if (constant_) of_rows_ = scale_scales(0);
  }

  // The 16 scales of a group.
  F32 operator[](int64_t group) const {
    const int64_t at = first_ * w_->groups + group * kBlockRows;
    if (w_->scales) return load(w_->scales + at);
    const F32 level = lookup256(w_->scale_levels, w_->scale_codes + at);
    return level * (constant_ ? of_rows_ : scale_scales(group)) + set1(w_->scale_offset);
  }

 private:
  // What the levels of a group's scales are multiplied with.
  F32 scale_scales(int64_t group) const {
    float scale[kBlockRows];
    for (int64_t r = 0; r < kBlockRows; ++r) {
      const int64_t row = first_ + r < w_->rows ? first_ + r : w_->rows - 1;
      scale[r] = w_->scale_scales[(row * w_->groups + group) / kScaleBlock];
    }
    return load(scale);
  }

  const WeightView* w_ = nullptr;
  int64_t first_ = 0;      // row
  bool constant_ = false;  // all groups of a row are in one block of scales
  F32 of_rows_ = zero();
};

}  // namespace lowbit::LOWBIT_ISA
