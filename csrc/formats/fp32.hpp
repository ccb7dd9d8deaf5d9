// fp32: dense rows of float, read as they are.
#pragma once

#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

struct Fp32 {
  using Element = float;
  static F32 load16(const float* p) { return load(p); }
  static void store16(float* p, F32 v) { store(p, v); }
};

}  // namespace lowbit::LOWBIT_ISA
