// The scales of packed formats as they are stored, plain or doubly quantized, and zero points.
#pragma once

#include "formats/weight.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

// The least number of E8M0, 2^-127.
constexpr float kLeastPower = 0x1p-127f;

// 16 bytes of E8M0.
inline F32 load_powers(const uint8_t* p) {
  const I32 bytes = load_i8(reinterpret_cast<const int8_t*>(p)) & set1i(0xff);
  return max(from_bits(shift_left<23>(bytes)), set1(kLeastPower));
}

// Scales rounded to what a type can store: floats to nearest even, and powers of two to the one
// that is nearest by ratio.
inline F32 round_scales(ScaleType type, F32 scales) {
  uint16_t words[kLanes];
  switch (type) {
    case ScaleType::fp16: store_fp16(words, scales); return load_fp16(words);
    case ScaleType::bf16: store_bf16(words, scales); return load_bf16(words);
    case ScaleType::e8m0: {
      const I32 power = bits(abs(scales) * set1(1.41421356f)) & set1i(0x7f800000);
      return max(from_bits(power), set1(kLeastPower));
    }
    case ScaleType::fp32:
    case ScaleType::dynamic8: break;
  }
  return scales;
}

// 16 scales from number `at` on, of the types that are read more seldom. Not inlined, since the
// loops around it would be compiled for all of them.
[[gnu::noinline]] inline F32 load_scales(const WeightView& w, int64_t at) {
  const auto* words = reinterpret_cast<const uint16_t*>(w.scales) + at;
  if (w.scale_type == ScaleType::fp16) return load_fp16(words);
  return w.scale_type == ScaleType::bf16 ? load_bf16(words) : load_powers(w.scales + at);
}

// The scales of one block of 16 rows, a group at a time.
class BlockScales {
 public:
  BlockScales() = default;
  BlockScales(const WeightView& w, int64_t block)
      : w_(&w),
        floats_(w.scale_type == ScaleType::fp32 ? reinterpret_cast<const float*>(w.scales)
                                                : nullptr),
        doubly_(w.scale_type == ScaleType::dynamic8),
        first_(block * kBlockRows),
        at_(block * w.scale_stride),
        constant_(doubly_ && w.groups > 0 && kScaleBlock % w.groups == 0) {
    if (constant_) of_rows_ = scale_scales(0);
  }

  // The 16 scales of a group.
  F32 operator[](int64_t group) const {
    const int64_t at = at_ + group * kBlockRows;
    if (floats_) return load(floats_ + at);
    if (!doubly_) return load_scales(*w_, at);
    const F32 level = lookup256(w_->scale_levels, w_->scales + at);
    return level * (constant_ ? of_rows_ : scale_scales(group)) + set1(w_->scale_offset);
  }

  // The 16 zero points of a group of an asymmetric matrix.
  F32 zeros(int64_t group) const {
    return to_float(load_i8(w_->zeros + at_ + group * kBlockRows));
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
  const float* floats_ = nullptr;
  bool doubly_ = false;
  int64_t first_ = 0;      // row
  int64_t at_ = 0;         // of the first scale
  bool constant_ = false;  // all groups of a row are in one block of scales
  F32 of_rows_ = zero();
};

}  // namespace lowbit::LOWBIT_ISA
