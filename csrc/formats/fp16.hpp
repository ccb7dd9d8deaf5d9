// fp16: dense rows of IEEE half precision, rounded to nearest even; beyond 65,504 it is infinite.
#pragma once

#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

struct Fp16 {
  using Element = uint16_t;
  static F32 load16(const uint16_t* p) { return load_fp16(p); }
  static void store16(uint16_t* p, F32 v) { store_fp16(p, v); }
};

}  // namespace lowbit::LOWBIT_ISA
