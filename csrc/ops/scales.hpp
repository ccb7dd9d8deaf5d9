// The scales of packed matrices, from floats to what is stored and back.
#pragma once

#include <string>
#include <vector>

#include "ops/packed_matrix.hpp"

namespace lowbit::ops {

// The type with this name; "" means the format's own: e8m0 for mxfp4, else fp32.
ScaleType scale_type_named(const char* function, const std::string& name, Format format);
const char* scale_type_name(ScaleType type);

// Calls use(place) for the places of scales [begin, end), in row-major order, of
// [block][group][16].
template <class Use>
void for_scales(const PackedMatrix& m, int64_t begin, int64_t end, Use&& use) {
  if (begin == end) return;
  int64_t row = begin / m.groups, group = begin % m.groups;
  for (int64_t i = begin; i < end; ++i) {
    use(((row / kBlockRows) * m.groups + group) * kBlockRows + row % kBlockRows);
    if (++group == m.groups) group = 0, ++row;
  }
}

// Stores scales, which the kernel rounded to m.scale_type; doubly quantized ones are rounded here.
// m.scales may be where they are already.
void store_scales(PackedMatrix& m, const float* scales);

// The stored scales as the kernels read them.
std::vector<float> read_scales(const PackedMatrix& m);

}  // namespace lowbit::ops
