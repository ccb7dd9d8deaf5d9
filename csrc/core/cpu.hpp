// What this machine's processor can do, found out once at run time.
#pragma once

#include <string>

namespace lowbit {

struct CpuFeatures {
  bool avx2 = false, fma = false, f16c = false;
  bool avx512 = false;  // F, BW, DQ, VL, and the operating system saves the registers
  bool avx512_vnni = false, avx512_bf16 = false;
  bool amx_bf16 = false, amx_int8 = false;  // present, and the operating system granted tiles
  bool neon = false, dotprod = false, i8mm = false;
  bool emulated = false;  // a test build: AVX-512 and AMX are plain C++ and count as present
  std::string model;
};

const CpuFeatures& cpu_features();

}  // namespace lowbit
