// An 8 x 8 transpose of floats in AVX registers, for every x86 instruction set above the baseline.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace lowbit::LOWBIT_ISA::detail {

inline void transpose8(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  __m256 row[8], pair[8], quad[8];
  for (int i = 0; i < 8; ++i) row[i] = _mm256_loadu_ps(in + i * in_stride);
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    quad[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
    quad[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee);
    quad[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
    quad[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(out + i * out_stride, _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20));
    _mm256_storeu_ps(out + (i + 4) * out_stride,
                     _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31));
  }
}

inline void transpose16_by_8(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  transpose8(in, in_stride, out, out_stride);
  transpose8(in + 8, in_stride, out + 8 * out_stride, out_stride);
  transpose8(in + 8 * in_stride, in_stride, out + 8, out_stride);
  transpose8(in + 8 * in_stride + 8, in_stride, out + 8 * out_stride + 8, out_stride);
}

}  // namespace lowbit::LOWBIT_ISA::detail
