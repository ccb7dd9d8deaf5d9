// Sixteen sums of lanes at once, for instruction sets without a quicker way.
#pragma once

namespace lowbit::LOWBIT_ISA {

inline F32 reduce_add16(const float* p) {
  float sums[16];
  for (int i = 0; i < 16; ++i) sums[i] = reduce_add(load(p + 16 * i));
  return load(sums);
}

}  // namespace lowbit::LOWBIT_ISA
