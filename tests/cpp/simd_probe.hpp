// What simd_probe.cpp is given; one function per instruction set.
#pragma once

#include <cstdint>

namespace lowbit {

struct SimdProbe {
  const float* any;     // [count] floats of every kind
  const float* finite;  // [count] of moderate size; at least 16 * 19
  int64_t count;        // a multiple of 16
  uint8_t* out;         // simd_probe_bytes(count)
};

inline int64_t simd_probe_bytes(int64_t count) { return 64 * (90 * count / 16 + 44); }

// Returns how many bytes it would have written: simd_probe_bytes(count), unless that is wrong.
#define ISA(name, runs_here)                      \
  namespace name {                                \
  int64_t simd_probe(const SimdProbe& probe) noexcept; \
  }
#include "core/isa.def"
#undef ISA

}  // namespace lowbit
