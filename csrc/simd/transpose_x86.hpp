// An 8 x 8 transpose of floats in AVX registers, for every x86 instruction set above the baseline.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace lowbit::LOWBIT_ISA::detail {

// Four columns of eight rows. Rows i and i + 4 are put side by side while they are loaded, which
// leaves two shuffles for a vector of the result instead of three.
inline void transpose8x4(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  __m256 row[4], pair[4];
  for (int i = 0; i < 4; ++i)
    row[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(in + i * in_stride)),
                                  _mm_loadu_ps(in + (i + 4) * in_stride), 1);
  for (int i = 0; i < 4; i += 2) {
    pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    float* to = out + 2 * i * out_stride;
    _mm256_storeu_ps(to, _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44));
    _mm256_storeu_ps(to + out_stride, _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee));
  }
}

inline void transpose8(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  transpose8x4(in, in_stride, out, out_stride);
  transpose8x4(in + 4, in_stride, out + 4 * out_stride, out_stride);
}

}  // namespace lowbit::LOWBIT_ISA::detail
