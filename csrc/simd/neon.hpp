// The contract of simd.hpp with NEON (AArch64), with or without dot products of bytes: a vector is
// four q registers.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace lowbit::LOWBIT_ISA {

// 4 rows x 16 columns: 16 accumulators keep four pipes of latency 4 busy, and with 4 registers of
// weights and 4 of x they fit; with 6 rows GCC loads all of x first and spills an accumulator.
constexpr int kTileVectors = 1;
constexpr int kTileSums = 4;

struct F32 { float32x4_t q[4]; };
struct I32 { int32x4_t q[4]; };
struct Table16 { uint8x16x4_t bytes; };

namespace detail {
template <class Vector, class Function>
inline Vector each(Function f) {
  return {{f(0), f(1), f(2), f(3)}};
}
inline uint32x4_t unsigned_bits(int32x4_t v) { return vreinterpretq_u32_s32(v); }
inline int32x4_t signed_bits(uint32x4_t v) { return vreinterpretq_s32_u32(v); }

// As on x86: the second operand when either is NaN. vminq_f32 would return the NaN.
inline float32x4_t min4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline float32x4_t max4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
}  // namespace detail

inline F32 set1(float v) {
  return detail::each<F32>([=](int) { return vdupq_n_f32(v); });
}
inline F32 zero() { return set1(0.0f); }
inline F32 load(const float* p) {
  return detail::each<F32>([=](int i) { return vld1q_f32(p + 4 * i); });
}
inline void store(float* p, F32 v) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, v.q[i]);
}
inline F32 load_first(const float* p, int n) {
  float lanes[16] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
inline void store_first(float* p, F32 v, int n) {
  float lanes[16];
  store(lanes, v);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}
inline void stream(float* p, F32 v) { store(p, v); }
inline void stream_fence() {}

inline F32 operator+(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return vaddq_f32(a.q[i], b.q[i]); });
}
inline F32 operator-(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return vsubq_f32(a.q[i], b.q[i]); });
}
inline F32 operator*(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return vmulq_f32(a.q[i], b.q[i]); });
}
inline F32 operator/(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return vdivq_f32(a.q[i], b.q[i]); });
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return detail::each<F32>([&](int i) { return vfmaq_f32(c.q[i], a.q[i], b.q[i]); });
}
inline F32 min(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return detail::min4(a.q[i], b.q[i]); });
}
inline F32 max(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return detail::max4(a.q[i], b.q[i]); });
}
inline F32 sqrt(F32 a) {
  return detail::each<F32>([&](int i) { return vsqrtq_f32(a.q[i]); });
}
inline F32 abs(F32 a) {
  return detail::each<F32>([&](int i) { return vabsq_f32(a.q[i]); });
}
inline F32 copysign(F32 magnitude, F32 sign) {
  const uint32x4_t bit = vdupq_n_u32(0x80000000u);
  return detail::each<F32>([&](int i) { return vbslq_f32(bit, sign.q[i], magnitude.q[i]); });
}
inline F32 swap_pairs(F32 a) {
  return detail::each<F32>([&](int i) { return vrev64q_f32(a.q[i]); });
}
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {
  return detail::each<F32>(
      [&](int i) { return vbslq_f32(vcltq_f32(a.q[i], b.q[i]), x.q[i], y.q[i]); });
}
inline uint32_t less_mask(F32 a, F32 b) {
  static constexpr uint32_t kBits[4] = {1, 2, 4, 8};
  const uint32x4_t bit = vld1q_u32(kBits);
  uint32_t mask = 0;
  for (int i = 0; i < 4; ++i)
    mask |= vaddvq_u32(vandq_u32(vcltq_f32(a.q[i], b.q[i]), bit)) << 4 * i;
  return mask;
}

// NEON saturates and takes NaN as 0; out of range gives INT32_MIN here, as on x86.
inline I32 to_int(F32 a) {
  return detail::each<I32>([&](int i) {
    const uint32x4_t in_range = vcaltq_f32(a.q[i], vdupq_n_f32(2147483648.0f));
    return vbslq_s32(in_range, vcvtnq_s32_f32(a.q[i]), vdupq_n_s32(INT32_MIN));
  });
}
inline F32 to_float(I32 a) {
  return detail::each<F32>([&](int i) { return vcvtq_f32_s32(a.q[i]); });
}
inline I32 bits(F32 a) {
  return detail::each<I32>([&](int i) { return vreinterpretq_s32_f32(a.q[i]); });
}
inline F32 from_bits(I32 a) {
  return detail::each<F32>([&](int i) { return vreinterpretq_f32_s32(a.q[i]); });
}

inline I32 set1i(int32_t v) {
  return detail::each<I32>([=](int) { return vdupq_n_s32(v); });
}
inline I32 load_i32(const void* p) {
  const auto* bytes = static_cast<const uint8_t*>(p);
  return detail::each<I32>([=](int i) { return vreinterpretq_s32_u8(vld1q_u8(bytes + 16 * i)); });
}
inline void store_i32(void* p, I32 v) {
  auto* bytes = static_cast<uint8_t*>(p);
  for (int i = 0; i < 4; ++i) vst1q_u8(bytes + 16 * i, vreinterpretq_u8_s32(v.q[i]));
}
inline I32 operator+(I32 a, I32 b) {
  return detail::each<I32>([&](int i) { return vaddq_s32(a.q[i], b.q[i]); });
}
inline I32 operator-(I32 a, I32 b) {
  return detail::each<I32>([&](int i) { return vsubq_s32(a.q[i], b.q[i]); });
}
inline I32 operator&(I32 a, I32 b) {
  return detail::each<I32>([&](int i) { return vandq_s32(a.q[i], b.q[i]); });
}
inline I32 operator|(I32 a, I32 b) {
  return detail::each<I32>([&](int i) { return vorrq_s32(a.q[i], b.q[i]); });
}
inline I32 operator^(I32 a, I32 b) {
  return detail::each<I32>([&](int i) { return veorq_s32(a.q[i], b.q[i]); });
}
inline I32 max_unsigned(I32 a, I32 b) {
  return detail::each<I32>([&](int i) {
    return detail::signed_bits(
        vmaxq_u32(detail::unsigned_bits(a.q[i]), detail::unsigned_bits(b.q[i])));
  });
}
inline I32 merge(I32 a, I32 b, I32 mask) { return a | (b & mask); }
template <int n>
inline I32 shift_left(I32 a) {
  return detail::each<I32>([&](int i) { return vshlq_n_s32(a.q[i], n); });
}
// The right shifts of NEON begin at 1.
template <int n>
inline I32 shift_right(I32 a) {
  if constexpr (n == 0)
    return a;
  else
    return detail::each<I32>([&](int i) {
      return detail::signed_bits(vshrq_n_u32(detail::unsigned_bits(a.q[i]), n));
    });
}
template <int n>
inline I32 rotate_left(I32 a) {
  return shift_left<n>(a) | shift_right<32 - n>(a);
}
template <int n>
inline I32 shift_right_signed(I32 a) {
  if constexpr (n == 0)
    return a;
  else
    return detail::each<I32>([&](int i) { return vshrq_n_s32(a.q[i], n); });
}

inline F32 load_bf16(const uint16_t* p) {
  return detail::each<F32>([=](int i) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(p + 4 * i)), 16));
  });
}
inline I32 to_bf16(F32 v) {
  const I32 word = bits(v);
  const I32 odd = shift_right<16>(word) & set1i(1);
  const I32 rounded = shift_right<16>(word + set1i(0x7fff) + odd);
  const I32 quiet = shift_right<16>(word) | set1i(0x40);
  return detail::each<I32>([&](int i) {
    return vbslq_s32(vceqq_f32(v.q[i], v.q[i]), rounded.q[i], quiet.q[i]);
  });
}
inline void store_bf16(uint16_t* p, F32 v) {
  const I32 words = to_bf16(v);
  for (int i = 0; i < 4; ++i)
    vst1_u16(p + 4 * i, vmovn_u32(detail::unsigned_bits(words.q[i])));
}
inline F32 load_fp16(const uint16_t* p) {
  return detail::each<F32>(
      [=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
inline void store_fp16(uint16_t* p, F32 v) {
  for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(v.q[i])));
}
inline I32 load_i8(const int8_t* p) {
  const int8x16_t bytes = vld1q_s8(p);
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
  return {{vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)),
           vmovl_s16(vget_low_s16(high)), vmovl_s16(vget_high_s16(high))}};
}

inline void store_i16(int16_t* p, I32 v) {
  for (int i = 0; i < 4; ++i) vst1_s16(p + 4 * i, vqmovn_s32(v.q[i]));
}
inline constexpr bool kFastPairs = false;
inline I32 add_pair_products(I32 sum, I32 a, I32 b) {
  const I32 low_a = shift_right_signed<16>(shift_left<16>(a)), high_a = shift_right_signed<16>(a);
  const I32 low_b = shift_right_signed<16>(shift_left<16>(b)), high_b = shift_right_signed<16>(b);
  return detail::each<I32>([&](int i) {
    return vmlaq_s32(vmlaq_s32(sum.q[i], low_a.q[i], low_b.q[i]), high_a.q[i], high_b.q[i]);
  });
}

inline Table16 load_table(const float* values) {
  return {vld1q_u8_x4(reinterpret_cast<const uint8_t*>(values))};
}
// A table look-up of bytes: entry i lies at bytes 4i to 4i + 3.
inline F32 lookup16(Table16 table, I32 index) {
  return detail::each<F32>([&](int i) {
    const uint32x4_t entry = vandq_u32(detail::unsigned_bits(index.q[i]), vdupq_n_u32(15));
    const uint32x4_t at =
        vmlaq_u32(vdupq_n_u32(0x03020100u), entry, vdupq_n_u32(0x04040404u));
    return vreinterpretq_f32_u8(vqtbl4q_u8(table.bytes, vreinterpretq_u8_u32(at)));
  });
}
using ByteTable16 = Table16;
inline ByteTable16 load_byte_table(const float* values) { return load_table(values); }
inline F32 lookup256(const float* table, const uint8_t* p) {
  float values[16];
  for (int i = 0; i < 16; ++i) values[i] = table[p[i]];
  return load(values);
}
template <int low>
inline void lookup_nibbles(const ByteTable16& table, I32 codes, F32 (&out)[4]) {
  out[0] = lookup16(table, shift_right<low>(codes));
  out[1] = lookup16(table, shift_right<low + 8>(codes));
  out[2] = lookup16(table, shift_right<low + 16>(codes));
  out[3] = lookup16(table, shift_right<low + 24>(codes));
}

struct Bytes16 { int8x16_t bytes; };
inline Bytes16 load_bytes16(const int8_t* values) { return {vld1q_s8(values)}; }
inline I32 lookup_i8(Bytes16 table, I32 index) {
  return detail::each<I32>([&](int i) {
    return vreinterpretq_s32_s8(vqtbl1q_s8(table.bytes, vreinterpretq_u8_s32(index.q[i])));
  });
}
inline void store_i8(int8_t* p, I32 v) {
  const int16x8_t low = vmovn_high_s32(vmovn_s32(v.q[0]), v.q[1]);
  const int16x8_t high = vmovn_high_s32(vmovn_s32(v.q[2]), v.q[3]);
  vst1q_s8(p, vmovn_high_s16(vmovn_s16(low), high));
}
inline void store_i8(int8_t* p, I32 a, I32 b, I32 c, I32 d) {
  store_i8(p, a), store_i8(p + 16, b), store_i8(p + 32, c), store_i8(p + 48, d);
}

struct SignedBytes { I32 bytes; };
struct Nibbles { I32 bytes; };
inline SignedBytes signed_bytes(I32 bytes) { return {bytes}; }
template <class Weights>
using Sum = I32;
template <class Weights>
inline constexpr int kExcess = 0;
template <>
inline constexpr int kExcess<Nibbles> = 8;
template <class Weights>
inline constexpr int64_t kSteps = 1 << 20;
template <class Weights>
inline I32 no_sum() {
  return set1i(0);
}
template <class Weights>
inline I32 add_products(I32 sum, Weights w, I32 x) {
  return detail::each<I32>([&](int i) {
    const int8x16_t a = vreinterpretq_s8_s32(w.bytes.q[i]), b = vreinterpretq_s8_s32(x.q[i]);
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum.q[i], a, b);
#else
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
    return vaddq_s32(sum.q[i], vpaddq_s32(low, high));
#endif
  });
}
inline I32 widen(I32 sum) { return sum; }

struct Bytes64 { uint8x16_t q[4]; };
inline Bytes64 load_bytes64(const uint8_t* p) {
  return {{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
}
namespace detail {
// Bit i: whether byte i is all ones, where it is all zeros else. Each keeps its own bit of eight,
// and pairwise sums bring eight bytes together in one.
inline uint64_t to_mask(const uint8x16_t (&all)[4]) {
  const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
  uint8x16_t found[4];
  for (int i = 0; i < 4; ++i) found[i] = vandq_u8(all[i], bit);
  const uint8x16_t four = vpaddq_u8(vpaddq_u8(found[0], found[1]), vpaddq_u8(found[2], found[3]));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(four, four)), 0);
}
}  // namespace detail
inline uint64_t in_range(Bytes64 v, uint8_t first, uint8_t last) {
  const uint8x16_t span = vdupq_n_u8(static_cast<uint8_t>(last - first));
  uint8x16_t found[4];
  for (int i = 0; i < 4; ++i) found[i] = vcleq_u8(vsubq_u8(v.q[i], vdupq_n_u8(first)), span);
  return detail::to_mask(found);
}
inline uint64_t lookup_bits(uint64_t table, Bytes64 v) {
  const uint8x16_t bytes = vreinterpretq_u8_u64(vdupq_n_u64(table));
  const uint8x16_t bits = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
  const uint8x16_t seven = vdupq_n_u8(7);
  uint8x16_t found[4];
  for (int i = 0; i < 4; ++i)
    found[i] = vtstq_u8(vqtbl1q_u8(bytes, vandq_u8(vshrq_n_u8(v.q[i], 3), seven)),
                        vqtbl1q_u8(bits, vandq_u8(v.q[i], seven)));
  return detail::to_mask(found);
}

inline float reduce_add(F32 v) {
  const float32x4_t four =
      vaddq_f32(vaddq_f32(v.q[0], v.q[2]), vaddq_f32(v.q[1], v.q[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float reduce_max(F32 v) {
  const float32x4_t four =
      detail::max4(detail::max4(v.q[0], v.q[2]), detail::max4(v.q[1], v.q[3]));
  const float32x4_t two = detail::max4(four, vextq_f32(four, four, 2));
  return vgetq_lane_f32(detail::max4(two, vextq_f32(two, two, 1)), 0);
}

namespace detail {
inline void transpose4(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  const float32x4_t r0 = vld1q_f32(in), r1 = vld1q_f32(in + in_stride),
                    r2 = vld1q_f32(in + 2 * in_stride), r3 = vld1q_f32(in + 3 * in_stride);
  const float64x2_t even01 = vreinterpretq_f64_f32(vtrn1q_f32(r0, r1)),
                    odd01 = vreinterpretq_f64_f32(vtrn2q_f32(r0, r1)),
                    even23 = vreinterpretq_f64_f32(vtrn1q_f32(r2, r3)),
                    odd23 = vreinterpretq_f64_f32(vtrn2q_f32(r2, r3));
  vst1q_f32(out, vreinterpretq_f32_f64(vtrn1q_f64(even01, even23)));
  vst1q_f32(out + out_stride, vreinterpretq_f32_f64(vtrn1q_f64(odd01, odd23)));
  vst1q_f32(out + 2 * out_stride, vreinterpretq_f32_f64(vtrn2q_f64(even01, even23)));
  vst1q_f32(out + 3 * out_stride, vreinterpretq_f32_f64(vtrn2q_f64(odd01, odd23)));
}
}  // namespace detail

inline void transpose8x16(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  for (int r = 0; r < 8; r += 4)
    for (int c = 0; c < 16; c += 4)
      detail::transpose4(in + r * in_stride + c, in_stride, out + c * out_stride + r, out_stride);
}

}  // namespace lowbit::LOWBIT_ISA
