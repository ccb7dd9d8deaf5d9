// bf16: dense rows of bfloat16, the upper half of a float, rounded to nearest even.
#pragma once

#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

struct Bf16 {
  using Element = uint16_t;
  static F32 load16(const uint16_t* p) { return load_bf16(p); }
  static void store16(uint16_t* p, F32 v) { store_bf16(p, v); }
};

}  // namespace lowbit::LOWBIT_ISA
