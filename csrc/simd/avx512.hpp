// The contract of simd.hpp with AVX-512 (F, BW, DQ, VL, VNNI): a vector is one zmm register.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd/transpose_x86.hpp"

namespace lowbit::LOWBIT_ISA {

// 12 rows x 32 columns: 24 accumulators, 2 registers of weights and one broadcast of 32 registers.
// 12 divides the 48 rows that matmul keeps in the cache.
constexpr int kTileVectors = 2;
constexpr int kTileSums = 24;

struct F32 { __m512 v; };
struct I32 { __m512i v; };
struct Table16 { __m512 v; };

namespace detail {
inline __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1); }
// Sums in the order in which they are written: GCC would copy and spill half of a tile's sums to
// bring products of the same operands together.
inline __m512i keep(__m512i sum) {
#if defined(__AVX512F__)  // and not emulated
  __asm__("" : "+v"(sum));
#endif
  return sum;
}
}  // namespace detail

inline F32 set1(float v) { return {_mm512_set1_ps(v)}; }
inline F32 zero() { return {_mm512_setzero_ps()}; }
inline F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, F32 v) { _mm512_storeu_ps(p, v.v); }
inline F32 load_first(const float* p, int n) {
  return {_mm512_maskz_loadu_ps(detail::first(n), p)};
}
inline void store_first(float* p, F32 v, int n) {
  _mm512_mask_storeu_ps(p, detail::first(n), v.v);
}
inline void stream(float* p, F32 v) { _mm512_stream_ps(p, v.v); }
inline void stream_fence() { _mm_sfence(); }

inline F32 operator+(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32 operator-(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32 operator*(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32 operator/(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32 sqrt(F32 a) { return {_mm512_sqrt_ps(a.v)}; }
inline F32 abs(F32 a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v)}; }
inline F32 copysign(F32 magnitude, F32 sign) {
  const __m512 bit = _mm512_set1_ps(-0.0f);
  return {_mm512_or_ps(_mm512_andnot_ps(bit, magnitude.v), _mm512_and_ps(bit, sign.v))};
}
inline F32 swap_pairs(F32 a) { return {_mm512_permute_ps(a.v, 0xb1)}; }
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
inline uint32_t less_mask(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }

inline I32 to_int(F32 a) { return {_mm512_cvtps_epi32(a.v)}; }
inline F32 to_float(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline I32 bits(F32 a) { return {_mm512_castps_si512(a.v)}; }
inline F32 from_bits(I32 a) { return {_mm512_castsi512_ps(a.v)}; }

inline I32 set1i(int32_t v) { return {_mm512_set1_epi32(v)}; }
inline I32 load_i32(const void* p) { return {_mm512_loadu_si512(p)}; }
inline void store_i32(void* p, I32 v) { _mm512_storeu_si512(p, v.v); }
inline I32 operator+(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I32 operator-(I32 a, I32 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline I32 operator&(I32 a, I32 b) { return {_mm512_and_si512(a.v, b.v)}; }
inline I32 operator|(I32 a, I32 b) { return {_mm512_or_si512(a.v, b.v)}; }
inline I32 operator^(I32 a, I32 b) { return {_mm512_xor_si512(a.v, b.v)}; }
inline I32 max_unsigned(I32 a, I32 b) { return {_mm512_max_epu32(a.v, b.v)}; }
inline I32 merge(I32 a, I32 b, I32 mask) {
  return {_mm512_ternarylogic_epi32(a.v, b.v, mask.v, 0xf8)};
}
template <int n>
inline I32 rotate_left(I32 a) {
  return {_mm512_rol_epi32(a.v, n)};
}
template <int n>
inline I32 shift_left(I32 a) {
  return {_mm512_slli_epi32(a.v, n)};
}
template <int n>
inline I32 shift_right(I32 a) {
  return {_mm512_srli_epi32(a.v, n)};
}
template <int n>
inline I32 shift_right_signed(I32 a) {
  return {_mm512_srai_epi32(a.v, n)};
}

inline F32 load_bf16(const uint16_t* p) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return from_bits(shift_left<16>(I32{_mm512_cvtepu16_epi32(words)}));
}
// Not vcvtneps2bf16: it turns denormals into zero, which no other instruction set does.
inline I32 to_bf16(F32 v) {
  const I32 word = bits(v);
  const I32 odd = shift_right<16>(word) & set1i(1);
  const I32 rounded = shift_right<16>(word + set1i(0x7fff) + odd);
  const I32 quiet = shift_right<16>(word) | set1i(0x40);
  const __mmask16 nan = _mm512_cmp_ps_mask(v.v, v.v, _CMP_UNORD_Q);
  return {_mm512_mask_blend_epi32(nan, rounded.v, quiet.v)};
}
inline void store_bf16(uint16_t* p, F32 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(to_bf16(v).v));
}
inline F32 load_fp16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void store_fp16(uint16_t* p, F32 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(v.v, _MM_FROUND_TO_NEAREST_INT));
}
inline I32 load_i8(const int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}

inline void store_i16(int16_t* p, I32 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtsepi32_epi16(v.v));
}
inline constexpr bool kFastPairs = true;
inline I32 add_pair_products(I32 sum, I32 a, I32 b) {
  return {detail::keep(_mm512_dpwssd_epi32(sum.v, a.v, b.v))};
}

inline Table16 load_table(const float* values) { return {_mm512_loadu_ps(values)}; }
// vpermps reads the low four bits of an index and ignores the others.
inline F32 lookup16(Table16 table, I32 index) {
  return {_mm512_permutexvar_ps(index.v, table.v)};
}
inline F32 lookup256(const float* table, const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_i32gather_ps(_mm512_cvtepu8_epi32(bytes), table, 4)};
}
using ByteTable16 = Table16;
inline ByteTable16 load_byte_table(const float* values) { return load_table(values); }
template <int low>
inline void lookup_nibbles(const ByteTable16& table, I32 codes, F32 (&out)[4]) {
  out[0] = lookup16(table, shift_right<low>(codes));
  out[1] = lookup16(table, shift_right<low + 8>(codes));
  out[2] = lookup16(table, shift_right<low + 16>(codes));
  out[3] = lookup16(table, shift_right<low + 24>(codes));
}

struct Bytes16 { __m512i four_times; };
inline Bytes16 load_bytes16(const int8_t* values) {
  return {_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)))};
}
inline I32 lookup_i8(Bytes16 table, I32 index) {
  return {_mm512_shuffle_epi8(table.four_times, index.v)};
}
inline void store_i8(int8_t* p, I32 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v.v));
}
inline void store_i8(int8_t* p, I32 a, I32 b, I32 c, I32 d) {
  // Packs work inside 128-bit quarters, so that four bytes of each vector follow each other.
  static constexpr int32_t kOrder[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  const __m512i words = _mm512_packs_epi32(a.v, b.v), more = _mm512_packs_epi32(c.v, d.v);
  _mm512_storeu_si512(p, _mm512_permutexvar_epi32(_mm512_loadu_si512(kOrder),
                                                  _mm512_packs_epi16(words, more)));
}

// vpdpbusd wants the weights without sign: 128 is added to each, and counts as excess.
struct SignedBytes { __m512i bytes; };
struct Nibbles { I32 bytes; };
inline SignedBytes signed_bytes(I32 bytes) {
  return {_mm512_xor_si512(bytes.v, _mm512_set1_epi8(-128))};
}
template <class Weights>
using Sum = I32;
template <class Weights>
inline constexpr int kExcess = 128;
template <>
inline constexpr int kExcess<Nibbles> = 8;
template <class Weights>
inline constexpr int64_t kSteps = 1 << 20;
template <class Weights>
inline I32 no_sum() {
  return set1i(0);
}
inline I32 add_products(I32 sum, SignedBytes w, I32 x) {
  return {detail::keep(_mm512_dpbusd_epi32(sum.v, w.bytes, x.v))};
}
inline I32 add_products(I32 sum, Nibbles w, I32 x) {
  return {detail::keep(_mm512_dpbusd_epi32(sum.v, w.bytes.v, x.v))};
}
inline I32 widen(I32 sum) { return sum; }

struct Bytes64 { __m512i v; };
inline Bytes64 load_bytes64(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline uint64_t in_range(Bytes64 v, uint8_t first, uint8_t last) {
  const auto bytes = [](int value) { return _mm512_set1_epi8(static_cast<char>(value)); };
  return _mm512_cmple_epu8_mask(_mm512_sub_epi8(v.v, bytes(first)), bytes(last - first));
}

inline uint64_t lookup_bits(uint64_t table, Bytes64 v) {
  const auto both = [](uint64_t eight) {
    return _mm512_broadcast_i32x4(_mm_set1_epi64x(static_cast<long long>(eight)));
  };
  const __m512i seven = _mm512_set1_epi8(7);
  const __m512i byte = _mm512_and_si512(_mm512_srli_epi32(v.v, 3), seven);
  const __m512i bit =
      _mm512_shuffle_epi8(both(0x8040201008040201u), _mm512_and_si512(v.v, seven));
  return _mm512_test_epi8_mask(_mm512_shuffle_epi8(both(table), byte), bit);
}
inline int64_t list_bits(uint64_t bits, uint32_t base, uint32_t* places) {
  static constexpr int32_t kLane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const __m512i lanes = _mm512_loadu_si512(kLane);
  int64_t count = 0;
  for (uint32_t i = 0; i < 64; i += 16) {
    const auto sixteen = static_cast<__mmask16>(bits >> i);
    const __m512i all = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(base + i)));
    _mm512_storeu_si512(places + count, _mm512_maskz_compress_epi32(sixteen, all));
    count += __builtin_popcount(sixteen);
  }
  return count;
}

inline float reduce_add(F32 v) {
  const __m256 eight =
      _mm256_add_ps(_mm512_castps512_ps256(v.v), _mm512_extractf32x8_ps(v.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float reduce_max(F32 v) {
  const __m256 eight =
      _mm256_max_ps(_mm512_castps512_ps256(v.v), _mm512_extractf32x8_ps(v.v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

inline void transpose8x16(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  detail::transpose8(in, in_stride, out, out_stride);
  detail::transpose8(in + 8, in_stride, out + 8 * out_stride, out_stride);
}

}  // namespace lowbit::LOWBIT_ISA
