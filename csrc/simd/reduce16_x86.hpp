// Sixteen sums of lanes at once in AVX registers: at each step of the tree two vectors share one
// addition, so a sum takes 5 instructions instead of 8, and none waits for the one before.
#pragma once

namespace lowbit::LOWBIT_ISA {
namespace detail {

// The first step: lanes i and i + 8.
inline __m256 add_halves(const float* p) {
  return _mm256_add_ps(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}

// Eight sums, in the order of the vectors.
inline __m256 reduce_add8(const float* p) {
  __m256 four[4];
  for (int i = 0; i < 4; ++i) {
    const __m256 a = add_halves(p + 16 * i), b = add_halves(p + 16 * (i + 4));
    four[i] = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
  }
  __m256 two[2];
  for (int i = 0; i < 2; ++i)
    two[i] = _mm256_add_ps(_mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0x44),
                           _mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0xee));
  return _mm256_add_ps(_mm256_shuffle_ps(two[0], two[1], 0x88),
                       _mm256_shuffle_ps(two[0], two[1], 0xdd));
}

}  // namespace detail

inline F32 reduce_add16(const float* p) {
  float sums[16];
  _mm256_storeu_ps(sums, detail::reduce_add8(p));
  _mm256_storeu_ps(sums + 8, detail::reduce_add8(p + 128));
  return load(sums);
}

}  // namespace lowbit::LOWBIT_ISA
