// The contract of simd.hpp with AVX2, FMA and F16C: a vector is two ymm registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd/transpose_x86.hpp"

namespace lowbit::LOWBIT_ISA {

// 3 rows x 32 columns: 12 accumulators, 3 broadcasts and one register of weights of 16 registers.
// Zen 3 runs it a quarter faster than 6 x 16, which loads as much for half the columns.
constexpr int kTileVectors = 2;
constexpr int kTileSums = 6;

struct F32 { __m256 lo, hi; };
struct I32 { __m256i lo, hi; };
struct Table16 { __m256 lo, hi; };
struct ByteTable16 { __m256i plane[4]; };  // byte p of each of the 16 floats, twice

namespace detail {
// Lanes below n, as a mask for the masked loads and stores.
inline __m256i first(int n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
}
// Nothing happens here, but GCC no longer adds products of several calls to each other first, which
// takes registers that a tile of sums does not have.
template <class Sum>
inline void keep(Sum& sum) {
  __asm__("" : "+x"(sum.lo), "+x"(sum.hi));
}
}  // namespace detail

inline F32 set1(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
inline F32 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F32 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, F32 v) {
  _mm256_storeu_ps(p, v.lo);
  _mm256_storeu_ps(p + 8, v.hi);
}
inline F32 load_first(const float* p, int n) {
  return {_mm256_maskload_ps(p, detail::first(n)), _mm256_maskload_ps(p + 8, detail::first(n - 8))};
}
inline void store_first(float* p, F32 v, int n) {
  _mm256_maskstore_ps(p, detail::first(n), v.lo);
  _mm256_maskstore_ps(p + 8, detail::first(n - 8), v.hi);
}
inline void stream(float* p, F32 v) {
  _mm256_stream_ps(p, v.lo);
  _mm256_stream_ps(p + 8, v.hi);
}
inline void stream_fence() { _mm_sfence(); }

inline F32 operator+(F32 a, F32 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline F32 operator-(F32 a, F32 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline F32 operator*(F32 a, F32 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline F32 operator/(F32 a, F32 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F32 sqrt(F32 a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
inline F32 abs(F32 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline F32 copysign(F32 magnitude, F32 sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(bit, magnitude.lo), _mm256_and_ps(bit, sign.lo)),
          _mm256_or_ps(_mm256_andnot_ps(bit, magnitude.hi), _mm256_and_ps(bit, sign.hi))};
}
inline F32 swap_pairs(F32 a) {
  return {_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)};
}
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
inline uint32_t less_mask(F32 a, F32 b) {
  const int low = _mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ));
  const int high = _mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ));
  return static_cast<uint32_t>(low | high << 8);
}

inline I32 to_int(F32 a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline F32 to_float(I32 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline I32 bits(F32 a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
inline F32 from_bits(I32 a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }

inline I32 set1i(int32_t v) { return {_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
inline I32 load_i32(const void* p) {
  const __m256i* words = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(words), _mm256_loadu_si256(words + 1)};
}
inline void store_i32(void* p, I32 v) {
  __m256i* words = static_cast<__m256i*>(p);
  _mm256_storeu_si256(words, v.lo);
  _mm256_storeu_si256(words + 1, v.hi);
}
inline I32 operator+(I32 a, I32 b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
inline I32 operator-(I32 a, I32 b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
inline I32 operator&(I32 a, I32 b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
inline I32 operator|(I32 a, I32 b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
inline I32 operator^(I32 a, I32 b) {
  return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)};
}
inline I32 max_unsigned(I32 a, I32 b) {
  return {_mm256_max_epu32(a.lo, b.lo), _mm256_max_epu32(a.hi, b.hi)};
}
inline I32 merge(I32 a, I32 b, I32 mask) { return a | (b & mask); }
template <int n>
inline I32 shift_left(I32 a) {
  return {_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)};
}
template <int n>
inline I32 shift_right(I32 a) {
  return {_mm256_srli_epi32(a.lo, n), _mm256_srli_epi32(a.hi, n)};
}
template <int n>
inline I32 rotate_left(I32 a) {
  return shift_left<n>(a) | shift_right<32 - n>(a);
}
template <int n>
inline I32 shift_right_signed(I32 a) {
  return {_mm256_srai_epi32(a.lo, n), _mm256_srai_epi32(a.hi, n)};
}

inline F32 load_bf16(const uint16_t* p) {
  const __m128i* words = reinterpret_cast<const __m128i*>(p);
  const I32 wide{_mm256_cvtepu16_epi32(_mm_loadu_si128(words)),
                 _mm256_cvtepu16_epi32(_mm_loadu_si128(words + 1))};
  return from_bits(shift_left<16>(wide));
}
inline I32 to_bf16(F32 v) {
  const I32 word = bits(v);
  const I32 odd = shift_right<16>(word) & set1i(1);
  const I32 rounded = shift_right<16>(word + set1i(0x7fff) + odd);
  const I32 quiet = shift_right<16>(word) | set1i(0x40);
  const __m256i nan_lo = _mm256_castps_si256(_mm256_cmp_ps(v.lo, v.lo, _CMP_UNORD_Q));
  const __m256i nan_hi = _mm256_castps_si256(_mm256_cmp_ps(v.hi, v.hi, _CMP_UNORD_Q));
  return {_mm256_blendv_epi8(rounded.lo, quiet.lo, nan_lo),
          _mm256_blendv_epi8(rounded.hi, quiet.hi, nan_hi)};
}
inline void store_bf16(uint16_t* p, F32 v) {
  const I32 words = to_bf16(v);
  // packus works inside 128-bit halves; the permute puts the four quarters back in order.
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words.lo, words.hi), 0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), packed);
}
inline F32 load_fp16(const uint16_t* p) {
  const __m128i* words = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(words)), _mm256_cvtph_ps(_mm_loadu_si128(words + 1))};
}
inline void store_fp16(uint16_t* p, F32 v) {
  __m128i* words = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(words, _mm256_cvtps_ph(v.lo, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(words + 1, _mm256_cvtps_ph(v.hi, _MM_FROUND_TO_NEAREST_INT));
}
inline I32 load_i8(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
}

inline void store_i16(int16_t* p, I32 v) {
  // packs works inside 128-bit halves; the permute puts the four quarters back in order.
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(v.lo, v.hi), 0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), packed);
}
inline constexpr bool kFastPairs = true;
inline I32 add_pair_products(I32 sum, I32 a, I32 b) {
  sum = sum + I32{_mm256_madd_epi16(a.lo, b.lo), _mm256_madd_epi16(a.hi, b.hi)};
  detail::keep(sum);
  return sum;
}

inline Table16 load_table(const float* values) {
  return {_mm256_loadu_ps(values), _mm256_loadu_ps(values + 8)};
}
namespace detail {
// vpermps reads three index bits; bit 3, moved to the sign, picks the half of the table.
inline __m256 lookup8(Table16 table, __m256i index) {
  const __m256 low = _mm256_permutevar8x32_ps(table.lo, index);
  const __m256 high = _mm256_permutevar8x32_ps(table.hi, index);
  return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}
}  // namespace detail
inline F32 lookup16(Table16 table, I32 index) {
  return {detail::lookup8(table, index.lo), detail::lookup8(table, index.hi)};
}

// Four planes of bytes, looked up 32 codes at a time and woven into floats, cost half of what eight
// look-ups of floats do.
inline ByteTable16 load_byte_table(const float* values) {
  alignas(16) uint8_t bytes[4][16];
  for (int i = 0; i < 64; ++i) bytes[i % 4][i / 4] = reinterpret_cast<const uint8_t*>(values)[i];
  ByteTable16 table;
  for (int p = 0; p < 4; ++p)
    table.plane[p] =
        _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(bytes[p])));
  return table;
}
inline F32 lookup256(const float* table, const uint8_t* p) {
  const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  const __m128i high = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8));
  return {_mm256_i32gather_ps(table, _mm256_cvtepu8_epi32(low), 4),
          _mm256_i32gather_ps(table, _mm256_cvtepu8_epi32(high), 4)};
}
namespace detail {
inline void lookup_bytes8(const ByteTable16& table, __m256i codes, __m256 (&out)[4]) {
  // Byte b of four lanes comes together, so that weaving gives one column at a time.
  const __m256i turn = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,  //
                                        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m256i turned = _mm256_shuffle_epi8(codes, turn);
  const __m256i p0 = _mm256_shuffle_epi8(table.plane[0], turned);
  const __m256i p1 = _mm256_shuffle_epi8(table.plane[1], turned);
  const __m256i p2 = _mm256_shuffle_epi8(table.plane[2], turned);
  const __m256i p3 = _mm256_shuffle_epi8(table.plane[3], turned);
  const __m256i low01 = _mm256_unpacklo_epi8(p0, p1), high01 = _mm256_unpacklo_epi8(p2, p3);
  const __m256i low23 = _mm256_unpackhi_epi8(p0, p1), high23 = _mm256_unpackhi_epi8(p2, p3);
  out[0] = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low01, high01));
  out[1] = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low01, high01));
  out[2] = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low23, high23));
  out[3] = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low23, high23));
}
}  // namespace detail
template <int low>
inline void lookup_nibbles(const ByteTable16& table, I32 codes, F32 (&out)[4]) {
  __m256 lo[4], hi[4];
  const I32 indices = shift_right<low>(codes) & set1i(0x0f0f0f0f);
  detail::lookup_bytes8(table, indices.lo, lo);
  detail::lookup_bytes8(table, indices.hi, hi);
  for (int b = 0; b < 4; ++b) out[b] = {lo[b], hi[b]};
}

struct Bytes16 { __m256i twice; };
inline Bytes16 load_bytes16(const int8_t* values) {
  return {_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)))};
}
inline I32 lookup_i8(Bytes16 table, I32 index) {
  return {_mm256_shuffle_epi8(table.twice, index.lo), _mm256_shuffle_epi8(table.twice, index.hi)};
}
inline void store_i8(int8_t* p, I32 v) {
  // Both packs work inside 128-bit halves; the permute puts the four quarters in order.
  const __m256i words = _mm256_packs_epi32(v.lo, v.hi);
  const __m256i bytes = _mm256_packs_epi16(words, words);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(bytes, order)));
}
namespace detail {
inline void store_bytes32(int8_t* p, I32 a, I32 b) {
  const __m256i words = _mm256_packs_epi32(a.lo, a.hi), more = _mm256_packs_epi32(b.lo, b.hi);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words, more), order));
}
}  // namespace detail
inline void store_i8(int8_t* p, I32 a, I32 b, I32 c, I32 d) {
  detail::store_bytes32(p, a, b);
  detail::store_bytes32(p + 32, c, d);
}

// vpmaddubsw multiplies bytes without sign by signed ones and saturates sums of two in 16 bits.
// Signed bytes become |w| times x with the sign of w; two products of at most 127 * 127 fit.
// Nibbles are small enough to stay in 16 bits for eight steps: 16 * 15 * 127 < 2^15.
struct SignedBytes { I32 bytes, magnitude; };
struct Nibbles { I32 bytes; };
struct PairSum { __m256i lo, hi; };
inline SignedBytes signed_bytes(I32 bytes) {
  return {bytes, {_mm256_abs_epi8(bytes.lo), _mm256_abs_epi8(bytes.hi)}};
}
namespace detail {
template <class Weights> struct SumOf { using Type = I32; };
template <> struct SumOf<Nibbles> { using Type = PairSum; };
inline __m256i add_neighbours(__m256i pairs) {
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
}  // namespace detail
template <class Weights>
using Sum = typename detail::SumOf<Weights>::Type;
template <class Weights>
inline constexpr int kExcess = 0;
template <>
inline constexpr int kExcess<Nibbles> = 8;
template <class Weights>
inline constexpr int64_t kSteps = 1 << 20;
template <>
inline constexpr int64_t kSteps<Nibbles> = 8;
template <class Weights>
inline Sum<Weights> no_sum() {
  return {_mm256_setzero_si256(), _mm256_setzero_si256()};
}
inline I32 add_products(I32 sum, SignedBytes w, I32 x) {
  const auto dot = [](__m256i bytes, __m256i magnitude, __m256i y) {
    return detail::add_neighbours(_mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(y, bytes)));
  };
  sum = sum + I32{dot(w.bytes.lo, w.magnitude.lo, x.lo), dot(w.bytes.hi, w.magnitude.hi, x.hi)};
  detail::keep(sum);
  return sum;
}
inline PairSum add_products(PairSum sum, Nibbles w, I32 x) {
  sum = {_mm256_add_epi16(sum.lo, _mm256_maddubs_epi16(w.bytes.lo, x.lo)),
         _mm256_add_epi16(sum.hi, _mm256_maddubs_epi16(w.bytes.hi, x.hi))};
  detail::keep(sum);
  return sum;
}
inline I32 widen(I32 sum) { return sum; }
inline I32 widen(PairSum sum) {
  return {detail::add_neighbours(sum.lo), detail::add_neighbours(sum.hi)};
}

struct Bytes64 { __m256i lo, hi; };
inline Bytes64 load_bytes64(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
namespace detail {
inline uint64_t in_range32(__m256i v, uint8_t first, uint8_t last) {
  const auto bytes = [](int value) { return _mm256_set1_epi8(static_cast<char>(value)); };
  const __m256i above = _mm256_sub_epi8(v, bytes(first));
  const __m256i inside = _mm256_cmpeq_epi8(_mm256_min_epu8(above, bytes(last - first)), above);
  return static_cast<uint32_t>(_mm256_movemask_epi8(inside));
}
}  // namespace detail
inline uint64_t in_range(Bytes64 v, uint8_t first, uint8_t last) {
  return detail::in_range32(v.lo, first, last) | detail::in_range32(v.hi, first, last) << 32;
}
namespace detail {
inline uint64_t lookup_bits32(uint64_t table, __m256i v) {
  const auto both = [](uint64_t eight) {
    return _mm256_set1_epi64x(static_cast<long long>(eight));
  };
  const __m256i seven = _mm256_set1_epi8(7);
  const __m256i byte = _mm256_and_si256(_mm256_srli_epi32(v, 3), seven);
  const __m256i bit =
      _mm256_shuffle_epi8(both(0x8040201008040201u), _mm256_and_si256(v, seven));
  const __m256i found = _mm256_and_si256(_mm256_shuffle_epi8(both(table), byte), bit);
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(found, bit)));
}
}  // namespace detail
inline uint64_t lookup_bits(uint64_t table, Bytes64 v) {
  return detail::lookup_bits32(table, v.lo) | detail::lookup_bits32(table, v.hi) << 32;
}

inline float reduce_add(F32 v) {
  const __m256 eight = _mm256_add_ps(v.lo, v.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float reduce_max(F32 v) {
  const __m256 eight = _mm256_max_ps(v.lo, v.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

inline void transpose8x16(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  detail::transpose8(in, in_stride, out, out_stride);
  detail::transpose8(in + 8, in_stride, out + 8 * out_stride, out_stride);
}

}  // namespace lowbit::LOWBIT_ISA
