// The AVX-512 intrinsics used by csrc/simd/avx512.hpp, lane by lane.
#pragma once

namespace lowbit::LOWBIT_ISA::emulated {

using Int32x16 = int32_t __attribute__((vector_size(64)));
using UInt32x16 = uint32_t __attribute__((vector_size(64)));

// A zmm register as two ymm registers or as an array.
template <class Register, class Half, class Lane>
union Split {
  Register whole;
  Half half[2];
  Lane lane[64 / sizeof(Lane)];
};
using Floats = Split<__m512, __m256, float>;
using Words = Split<__m512i, __m256i, int32_t>;
using Bytes = Split<__m512i, __m256i, int8_t>;
using Shorts = Split<__m512i, __m256i, uint16_t>;

#define LOWBIT_EMULATED [[gnu::always_inline]] inline

LOWBIT_EMULATED __m512 mm512_set1_ps(float v) { return v - (__m512){}; }
LOWBIT_EMULATED __m512 mm512_setzero_ps() { return (__m512){}; }
LOWBIT_EMULATED __m512 mm512_loadu_ps(const void* p) {
  __m512 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
LOWBIT_EMULATED void mm512_storeu_ps(void* p, __m512 v) { std::memcpy(p, &v, sizeof v); }
LOWBIT_EMULATED void mm512_stream_ps(void* p, __m512 v) {
  const Floats in{v};
  for (int h = 0; h < 2; ++h) _mm256_stream_ps(static_cast<float*>(p) + 8 * h, in.half[h]);
}
LOWBIT_EMULATED __m512 mm512_maskz_loadu_ps(__mmask16 mask, const void* p) {
  Floats out;
  for (int i = 0; i < 16; ++i)
    out.lane[i] = (mask >> i) & 1 ? static_cast<const float*>(p)[i] : 0.0f;
  return out.whole;
}
LOWBIT_EMULATED void mm512_mask_storeu_ps(void* p, __mmask16 mask, __m512 v) {
  const Floats in{v};
  for (int i = 0; i < 16; ++i)
    if ((mask >> i) & 1) static_cast<float*>(p)[i] = in.lane[i];
}

LOWBIT_EMULATED __m512 mm512_add_ps(__m512 a, __m512 b) { return a + b; }
LOWBIT_EMULATED __m512 mm512_sub_ps(__m512 a, __m512 b) { return a - b; }
LOWBIT_EMULATED __m512 mm512_mul_ps(__m512 a, __m512 b) { return a * b; }
LOWBIT_EMULATED __m512 mm512_div_ps(__m512 a, __m512 b) { return a / b; }
LOWBIT_EMULATED __m512 mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  Floats x{a}, y{b}, z{c};
  for (int h = 0; h < 2; ++h) z.half[h] = _mm256_fmadd_ps(x.half[h], y.half[h], z.half[h]);
  return z.whole;
}
// The second operand when either is NaN, or when both are zero.
LOWBIT_EMULATED __m512 mm512_min_ps(__m512 a, __m512 b) { return a < b ? a : b; }
LOWBIT_EMULATED __m512 mm512_max_ps(__m512 a, __m512 b) { return a > b ? a : b; }
LOWBIT_EMULATED __m512 mm512_sqrt_ps(__m512 a) {
  Floats x{a};
  for (int h = 0; h < 2; ++h) x.half[h] = _mm256_sqrt_ps(x.half[h]);
  return x.whole;
}
LOWBIT_EMULATED __m512 mm512_and_ps(__m512 a, __m512 b) {
  return (__m512)((Int32x16)a & (Int32x16)b);
}
LOWBIT_EMULATED __m512 mm512_andnot_ps(__m512 a, __m512 b) {
  return (__m512)(~(Int32x16)a & (Int32x16)b);
}
LOWBIT_EMULATED __m512 mm512_or_ps(__m512 a, __m512 b) {
  return (__m512)((Int32x16)a | (Int32x16)b);
}

template <int predicate>
LOWBIT_EMULATED __mmask16 mm512_cmp_ps_mask(__m512 a, __m512 b) {
  static_assert(predicate == _CMP_LT_OQ || predicate == _CMP_UNORD_Q, "comparison not emulated");
  const Floats x{a}, y{b};
  unsigned mask = 0;
  for (int h = 0; h < 2; ++h)
    mask |= static_cast<unsigned>(
                _mm256_movemask_ps(_mm256_cmp_ps(x.half[h], y.half[h], predicate)))
            << (8 * h);
  return static_cast<__mmask16>(mask);
}
LOWBIT_EMULATED Int32x16 lanes_of(__mmask16 mask) {
  const Int32x16 bit = {1 << 0, 1 << 1, 1 << 2,  1 << 3,  1 << 4,  1 << 5,  1 << 6,  1 << 7,
                        1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15};
  return (bit & static_cast<int32_t>(mask)) != 0;
}
LOWBIT_EMULATED __m512 mm512_mask_blend_ps(__mmask16 mask, __m512 no, __m512 yes) {
  return lanes_of(mask) ? yes : no;
}
LOWBIT_EMULATED __m512i mm512_mask_blend_epi32(__mmask16 mask, __m512i no, __m512i yes) {
  return (__m512i)(lanes_of(mask) ? (Int32x16)yes : (Int32x16)no);
}

LOWBIT_EMULATED __m512i mm512_cvtps_epi32(__m512 a) {
  const Floats x{a};
  Words out;
  for (int h = 0; h < 2; ++h) out.half[h] = _mm256_cvtps_epi32(x.half[h]);
  return out.whole;
}
LOWBIT_EMULATED __m512 mm512_cvtepi32_ps(__m512i a) {
  return __builtin_convertvector((Int32x16)a, __m512);
}
LOWBIT_EMULATED __m512i mm512_castps_si512(__m512 a) { return (__m512i)a; }
LOWBIT_EMULATED __m512 mm512_castsi512_ps(__m512i a) { return (__m512)a; }
LOWBIT_EMULATED __m256 mm512_castps512_ps256(__m512 a) { return Floats{a}.half[0]; }
LOWBIT_EMULATED __m256 mm512_extractf32x8_ps(__m512 a, int half) { return Floats{a}.half[half]; }

LOWBIT_EMULATED __m512i mm512_set1_epi32(int32_t v) { return (__m512i)(v - (Int32x16){}); }
LOWBIT_EMULATED __m512i mm512_setzero_si512() { return (__m512i){}; }
LOWBIT_EMULATED __m512i mm512_loadu_si512(const void* p) {
  __m512i v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
LOWBIT_EMULATED void mm512_storeu_si512(void* p, __m512i v) { std::memcpy(p, &v, sizeof v); }
LOWBIT_EMULATED __m512i mm512_add_epi32(__m512i a, __m512i b) {
  return (__m512i)((UInt32x16)a + (UInt32x16)b);
}
LOWBIT_EMULATED __m512i mm512_sub_epi32(__m512i a, __m512i b) {
  return (__m512i)((UInt32x16)a - (UInt32x16)b);
}
LOWBIT_EMULATED __mmask64 mm512_test_epi8_mask(__m512i a, __m512i b) {
  const Bytes x{a & b};
  __mmask64 mask = 0;
  for (int i = 0; i < 64; ++i) mask |= __mmask64{x.lane[i] != 0} << i;
  return mask;
}
LOWBIT_EMULATED __m512i mm512_maskz_compress_epi32(__mmask16 mask, __m512i a) {
  const Words in{a};
  Words out{};
  for (int i = 0, count = 0; i < 16; ++i)
    if (mask >> i & 1) out.lane[count++] = in.lane[i];
  return out.whole;
}
LOWBIT_EMULATED __m512i mm512_and_si512(__m512i a, __m512i b) { return a & b; }
LOWBIT_EMULATED __m512i mm512_or_si512(__m512i a, __m512i b) { return a | b; }
LOWBIT_EMULATED __m512i mm512_slli_epi32(__m512i a, int n) {
  return (__m512i)((UInt32x16)a << static_cast<uint32_t>(n));
}
LOWBIT_EMULATED __m512i mm512_srli_epi32(__m512i a, int n) {
  return (__m512i)((UInt32x16)a >> static_cast<uint32_t>(n));
}
LOWBIT_EMULATED __m512i mm512_srai_epi32(__m512i a, int n) {
  return (__m512i)((Int32x16)a >> static_cast<int32_t>(n));
}
LOWBIT_EMULATED __m512i mm512_cvtepu16_epi32(__m256i a) {
  Words out;
  out.half[0] = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(a));
  out.half[1] = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1));
  return out.whole;
}
LOWBIT_EMULATED __m512i mm512_cvtepu8_epi32(__m128i a) {
  Words out;
  out.half[0] = _mm256_cvtepu8_epi32(a);
  out.half[1] = _mm256_cvtepu8_epi32(_mm_srli_si128(a, 8));
  return out.whole;
}
LOWBIT_EMULATED __m512i mm512_cvtepi8_epi32(__m128i a) {
  Words out;
  out.half[0] = _mm256_cvtepi8_epi32(a);
  out.half[1] = _mm256_cvtepi8_epi32(_mm_srli_si128(a, 8));
  return out.whole;
}
LOWBIT_EMULATED __m256i mm512_cvtsepi32_epi16(__m512i a) {
  const Words in{a};
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(in.half[0], in.half[1]), 0xd8);
}
// Packs work inside 128-bit quarters here as there.
LOWBIT_EMULATED __m512i mm512_packs_epi32(__m512i a, __m512i b) {
  const Words x{a}, y{b};
  Words out;
  for (int h = 0; h < 2; ++h) out.half[h] = _mm256_packs_epi32(x.half[h], y.half[h]);
  return out.whole;
}
LOWBIT_EMULATED __m512i mm512_packs_epi16(__m512i a, __m512i b) {
  const Words x{a}, y{b};
  Words out;
  for (int h = 0; h < 2; ++h) out.half[h] = _mm256_packs_epi16(x.half[h], y.half[h]);
  return out.whole;
}
LOWBIT_EMULATED __m512i mm512_permutexvar_epi32(__m512i index, __m512i a) {
  return (__m512i)__builtin_shuffle((Int32x16)a, (Int32x16)index);
}
LOWBIT_EMULATED __m512i mm512_dpwssd_epi32(__m512i sum, __m512i a, __m512i b) {
  Words out{sum};
  const Words x{a}, y{b};
  for (int h = 0; h < 2; ++h)
    out.half[h] = _mm256_add_epi32(out.half[h], _mm256_madd_epi16(x.half[h], y.half[h]));
  return out.whole;
}
LOWBIT_EMULATED __m512i mm512_broadcast_i32x4(__m128i a) {
  Words out;
  for (int h = 0; h < 2; ++h) out.half[h] = _mm256_broadcastsi128_si256(a);
  return out.whole;
}
LOWBIT_EMULATED __m512i mm512_shuffle_epi8(__m512i a, __m512i index) {
  const Words x{a}, y{index};
  Words out;
  for (int h = 0; h < 2; ++h) out.half[h] = _mm256_shuffle_epi8(x.half[h], y.half[h]);
  return out.whole;
}
LOWBIT_EMULATED __m512i mm512_xor_si512(__m512i a, __m512i b) { return a ^ b; }
LOWBIT_EMULATED __m512i mm512_set1_epi8(char value) {
  Bytes out;
  for (int8_t& lane : out.lane) lane = value;
  return out.whole;
}
LOWBIT_EMULATED __m512i mm512_sub_epi8(__m512i a, __m512i b) {
  Bytes out{a};
  const Bytes y{b};
  for (int i = 0; i < 64; ++i) out.lane[i] = static_cast<int8_t>(out.lane[i] - y.lane[i]);
  return out.whole;
}
LOWBIT_EMULATED __mmask64 mm512_cmple_epu8_mask(__m512i a, __m512i b) {
  const Bytes x{a}, y{b};
  __mmask64 mask = 0;
  for (int i = 0; i < 64; ++i)
    mask |= __mmask64{static_cast<uint8_t>(x.lane[i]) <= static_cast<uint8_t>(y.lane[i])} << i;
  return mask;
}
// Unsigned bytes of a times signed bytes of b, four to a lane.
LOWBIT_EMULATED __m512i mm512_dpbusd_epi32(__m512i sum, __m512i a, __m512i b) {
  Words out{sum};
  const Bytes x{a}, y{b};
  for (int i = 0; i < 64; ++i) out.lane[i / 4] += static_cast<uint8_t>(x.lane[i]) * y.lane[i];
  return out.whole;
}
LOWBIT_EMULATED __m256i mm512_cvtepi32_epi16(__m512i a) {
  const Words in{a};
  Shorts out{};
  for (int i = 0; i < 16; ++i) out.lane[i] = static_cast<uint16_t>(in.lane[i]);
  return out.half[0];
}
LOWBIT_EMULATED __m512 mm512_cvtph_ps(__m256i a) {
  Floats out;
  out.half[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(a));
  out.half[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1));
  return out.whole;
}
LOWBIT_EMULATED __m256i mm512_cvtps_ph(__m512 a, int) {  // to nearest
  const Floats in{a};
  return _mm256_set_m128i(_mm256_cvtps_ph(in.half[1], 0), _mm256_cvtps_ph(in.half[0], 0));
}
LOWBIT_EMULATED __m128i mm512_cvtepi32_epi8(__m512i a) {
  const Words in{a};
  Bytes out{};
  for (int i = 0; i < 16; ++i) out.lane[i] = static_cast<int8_t>(in.lane[i]);
  return _mm256_castsi256_si128(out.half[0]);
}
LOWBIT_EMULATED __m512 mm512_i32gather_ps(__m512i index, const float* table, int) {
  const Words in{index};
  Floats out;
  out.half[0] = _mm256_i32gather_ps(table, in.half[0], 4);
  out.half[1] = _mm256_i32gather_ps(table, in.half[1], 4);
  return out.whole;
}
LOWBIT_EMULATED __m512 mm512_permute_ps(__m512 a, int order) {
  const Floats in{a};
  Floats out;
  for (int i = 0; i < 16; ++i)
    out.lane[i] = in.lane[(i & ~3) | ((order >> (2 * (i & 3))) & 3)];
  return out.whole;
}
LOWBIT_EMULATED __m512 mm512_permutexvar_ps(__m512i index, __m512 table) {
  return __builtin_shuffle(table, (Int32x16)index);
}

}  // namespace lowbit::LOWBIT_ISA::emulated

#define LOWBIT_CALL(name) ::lowbit::LOWBIT_ISA::emulated::name
#undef _mm512_add_epi32
#define _mm512_add_epi32 LOWBIT_CALL(mm512_add_epi32)
#undef _mm512_add_ps
#define _mm512_add_ps LOWBIT_CALL(mm512_add_ps)
#undef _mm512_and_ps
#define _mm512_and_ps LOWBIT_CALL(mm512_and_ps)
#undef _mm512_and_si512
#define _mm512_and_si512 LOWBIT_CALL(mm512_and_si512)
#undef _mm512_andnot_ps
#define _mm512_andnot_ps LOWBIT_CALL(mm512_andnot_ps)
#undef _mm512_castps512_ps256
#define _mm512_castps512_ps256 LOWBIT_CALL(mm512_castps512_ps256)
#undef _mm512_castps_si512
#define _mm512_castps_si512 LOWBIT_CALL(mm512_castps_si512)
#undef _mm512_castsi512_ps
#define _mm512_castsi512_ps LOWBIT_CALL(mm512_castsi512_ps)
#undef _mm512_test_epi8_mask
#define _mm512_test_epi8_mask LOWBIT_CALL(mm512_test_epi8_mask)
#undef _mm512_maskz_compress_epi32
#define _mm512_maskz_compress_epi32 LOWBIT_CALL(mm512_maskz_compress_epi32)
#undef _mm512_sub_epi8
#define _mm512_sub_epi8 LOWBIT_CALL(mm512_sub_epi8)
#undef _mm512_cmple_epu8_mask
#define _mm512_cmple_epu8_mask LOWBIT_CALL(mm512_cmple_epu8_mask)
#undef _mm512_cmp_ps_mask
#define _mm512_cmp_ps_mask(a, b, predicate) \
  LOWBIT_CALL(mm512_cmp_ps_mask)<predicate>(a, b)
#undef _mm512_cvtsepi32_epi16
#define _mm512_cvtsepi32_epi16 LOWBIT_CALL(mm512_cvtsepi32_epi16)
#undef _mm512_broadcast_i32x4
#define _mm512_broadcast_i32x4 LOWBIT_CALL(mm512_broadcast_i32x4)
#undef _mm512_xor_si512
#define _mm512_xor_si512 LOWBIT_CALL(mm512_xor_si512)
#undef _mm512_set1_epi8
#define _mm512_set1_epi8 LOWBIT_CALL(mm512_set1_epi8)
#undef _mm512_dpbusd_epi32
#define _mm512_dpbusd_epi32 LOWBIT_CALL(mm512_dpbusd_epi32)
#undef _mm512_shuffle_epi8
#define _mm512_shuffle_epi8 LOWBIT_CALL(mm512_shuffle_epi8)
#undef _mm512_dpwssd_epi32
#define _mm512_dpwssd_epi32 LOWBIT_CALL(mm512_dpwssd_epi32)
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16 LOWBIT_CALL(mm512_cvtepi32_epi16)
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps LOWBIT_CALL(mm512_cvtph_ps)
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph LOWBIT_CALL(mm512_cvtps_ph)
#undef _mm512_cvtepi32_epi8
#define _mm512_cvtepi32_epi8 LOWBIT_CALL(mm512_cvtepi32_epi8)
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps LOWBIT_CALL(mm512_cvtepi32_ps)
#undef _mm512_cvtepu8_epi32
#define _mm512_cvtepu8_epi32 LOWBIT_CALL(mm512_cvtepu8_epi32)
#undef _mm512_cvtepi8_epi32
#define _mm512_cvtepi8_epi32 LOWBIT_CALL(mm512_cvtepi8_epi32)
#undef _mm512_cvtepu16_epi32
#define _mm512_cvtepu16_epi32 LOWBIT_CALL(mm512_cvtepu16_epi32)
#undef _mm512_cvtps_epi32
#define _mm512_cvtps_epi32 LOWBIT_CALL(mm512_cvtps_epi32)
#undef _mm512_div_ps
#define _mm512_div_ps LOWBIT_CALL(mm512_div_ps)
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps LOWBIT_CALL(mm512_extractf32x8_ps)
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps LOWBIT_CALL(mm512_fmadd_ps)
#undef _mm512_i32gather_ps
#define _mm512_i32gather_ps LOWBIT_CALL(mm512_i32gather_ps)
#undef _mm512_loadu_ps
#define _mm512_loadu_ps LOWBIT_CALL(mm512_loadu_ps)
#undef _mm512_loadu_si512
#define _mm512_loadu_si512 LOWBIT_CALL(mm512_loadu_si512)
#undef _mm512_mask_blend_epi32
#define _mm512_mask_blend_epi32 LOWBIT_CALL(mm512_mask_blend_epi32)
#undef _mm512_mask_blend_ps
#define _mm512_mask_blend_ps LOWBIT_CALL(mm512_mask_blend_ps)
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps LOWBIT_CALL(mm512_mask_storeu_ps)
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps LOWBIT_CALL(mm512_maskz_loadu_ps)
#undef _mm512_max_ps
#define _mm512_max_ps LOWBIT_CALL(mm512_max_ps)
#undef _mm512_min_ps
#define _mm512_min_ps LOWBIT_CALL(mm512_min_ps)
#undef _mm512_mul_ps
#define _mm512_mul_ps LOWBIT_CALL(mm512_mul_ps)
#undef _mm512_or_ps
#define _mm512_or_ps LOWBIT_CALL(mm512_or_ps)
#undef _mm512_or_si512
#define _mm512_or_si512 LOWBIT_CALL(mm512_or_si512)
#undef _mm512_permute_ps
#define _mm512_permute_ps LOWBIT_CALL(mm512_permute_ps)
#undef _mm512_packs_epi16
#define _mm512_packs_epi16 LOWBIT_CALL(mm512_packs_epi16)
#undef _mm512_packs_epi32
#define _mm512_packs_epi32 LOWBIT_CALL(mm512_packs_epi32)
#undef _mm512_permutexvar_epi32
#define _mm512_permutexvar_epi32 LOWBIT_CALL(mm512_permutexvar_epi32)
#undef _mm512_permutexvar_ps
#define _mm512_permutexvar_ps LOWBIT_CALL(mm512_permutexvar_ps)
#undef _mm512_set1_epi32
#define _mm512_set1_epi32 LOWBIT_CALL(mm512_set1_epi32)
#undef _mm512_set1_ps
#define _mm512_set1_ps LOWBIT_CALL(mm512_set1_ps)
#undef _mm512_setzero_ps
#define _mm512_setzero_ps LOWBIT_CALL(mm512_setzero_ps)
#undef _mm512_setzero_si512
#define _mm512_setzero_si512 LOWBIT_CALL(mm512_setzero_si512)
#undef _mm512_slli_epi32
#define _mm512_slli_epi32 LOWBIT_CALL(mm512_slli_epi32)
#undef _mm512_sqrt_ps
#define _mm512_sqrt_ps LOWBIT_CALL(mm512_sqrt_ps)
#undef _mm512_srai_epi32
#define _mm512_srai_epi32 LOWBIT_CALL(mm512_srai_epi32)
#undef _mm512_srli_epi32
#define _mm512_srli_epi32 LOWBIT_CALL(mm512_srli_epi32)
#undef _mm512_storeu_ps
#define _mm512_storeu_ps LOWBIT_CALL(mm512_storeu_ps)
#undef _mm512_stream_ps
#define _mm512_stream_ps LOWBIT_CALL(mm512_stream_ps)
#undef _mm512_storeu_si512
#define _mm512_storeu_si512 LOWBIT_CALL(mm512_storeu_si512)
#undef _mm512_sub_epi32
#define _mm512_sub_epi32 LOWBIT_CALL(mm512_sub_epi32)
#undef _mm512_sub_ps
#define _mm512_sub_ps LOWBIT_CALL(mm512_sub_ps)
