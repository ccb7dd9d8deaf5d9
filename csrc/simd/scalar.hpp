// The contract of simd.hpp in plain C++: the fallback for any processor, and the easiest to read.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace lowbit::LOWBIT_ISA {

// Arrays are in no registers, and every sum more means more unrolled loops to compile.
constexpr int kTileVectors = 1;
constexpr int kTileSums = 1;

struct F32 { float lane[16]; };
struct I32 { int32_t lane[16]; };
struct Table16 { const float* values; };

namespace detail {
template <class Vector, class Function>
inline Vector each(Function f) {
  Vector out;
  for (int i = 0; i < 16; ++i) out.lane[i] = f(i);
  return out;
}
}  // namespace detail

inline F32 set1(float v) { return detail::each<F32>([=](int) { return v; }); }
inline F32 zero() { return set1(0.0f); }
inline F32 load(const float* p) { return detail::each<F32>([=](int i) { return p[i]; }); }
inline void store(float* p, F32 v) { std::memcpy(p, v.lane, sizeof v.lane); }
inline F32 load_first(const float* p, int n) {
  return detail::each<F32>([=](int i) { return i < n ? p[i] : 0.0f; });
}
inline void store_first(float* p, F32 v, int n) {
  for (int i = 0; i < n; ++i) p[i] = v.lane[i];
}
inline void stream(float* p, F32 v) { store(p, v); }
inline void stream_fence() {}

inline F32 operator+(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline F32 operator-(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline F32 operator*(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline F32 operator/(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return a.lane[i] / b.lane[i]; });
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return detail::each<F32>([&](int i) { return std::fmaf(a.lane[i], b.lane[i], c.lane[i]); });
}
// As the x86 instructions: the second operand when either is NaN.
inline F32 min(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline F32 max(F32 a, F32 b) {
  return detail::each<F32>([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline F32 sqrt(F32 a) {
  return detail::each<F32>([&](int i) { return std::sqrt(a.lane[i]); });
}
inline F32 abs(F32 a) {
  return detail::each<F32>([&](int i) { return std::fabs(a.lane[i]); });
}
inline F32 copysign(F32 magnitude, F32 sign) {
  return detail::each<F32>([&](int i) { return std::copysign(magnitude.lane[i], sign.lane[i]); });
}
inline F32 swap_pairs(F32 a) {
  return detail::each<F32>([&](int i) { return a.lane[i ^ 1]; });
}
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {
  return detail::each<F32>([&](int i) { return a.lane[i] < b.lane[i] ? x.lane[i] : y.lane[i]; });
}
// From the last lane on: a loop of shifted bits is compiled wrongly by GCC 12 for AArch64.
inline uint32_t less_mask(F32 a, F32 b) {
  uint32_t mask = 0;
  for (int i = 15; i >= 0; --i) mask = 2 * mask + (a.lane[i] < b.lane[i] ? 1 : 0);
  return mask;
}

inline I32 to_int(F32 a) {
  return detail::each<I32>([&](int i) {
    const float v = a.lane[i];
    // Out of range gives the value the vector instructions give.
    return v >= -2147483648.0f && v < 2147483648.0f ? static_cast<int32_t>(std::nearbyint(v))
                                                    : INT32_MIN;
  });
}
inline F32 to_float(I32 a) {
  return detail::each<F32>([&](int i) { return static_cast<float>(a.lane[i]); });
}
inline I32 bits(F32 a) {
  I32 out;
  std::memcpy(&out, &a, sizeof out);
  return out;
}
inline F32 from_bits(I32 a) {
  F32 out;
  std::memcpy(&out, &a, sizeof out);
  return out;
}

inline I32 set1i(int32_t v) { return detail::each<I32>([=](int) { return v; }); }
inline I32 load_i32(const void* p) {
  I32 out;
  std::memcpy(out.lane, p, sizeof out.lane);
  return out;
}
inline void store_i32(void* p, I32 v) { std::memcpy(p, v.lane, sizeof v.lane); }
inline I32 operator+(I32 a, I32 b) {
  return detail::each<I32>([&](int i) {
    return static_cast<int32_t>(static_cast<uint32_t>(a.lane[i]) +
                                static_cast<uint32_t>(b.lane[i]));
  });
}
inline I32 operator-(I32 a, I32 b) {
  return detail::each<I32>([&](int i) {
    return static_cast<int32_t>(static_cast<uint32_t>(a.lane[i]) -
                                static_cast<uint32_t>(b.lane[i]));
  });
}
inline I32 operator&(I32 a, I32 b) {
  return detail::each<I32>([&](int i) { return a.lane[i] & b.lane[i]; });
}
inline I32 operator|(I32 a, I32 b) {
  return detail::each<I32>([&](int i) { return a.lane[i] | b.lane[i]; });
}
inline I32 operator^(I32 a, I32 b) {
  return detail::each<I32>([&](int i) { return a.lane[i] ^ b.lane[i]; });
}
inline I32 max_unsigned(I32 a, I32 b) {
  return detail::each<I32>([&](int i) {
    return static_cast<uint32_t>(a.lane[i]) > static_cast<uint32_t>(b.lane[i]) ? a.lane[i]
                                                                              : b.lane[i];
  });
}
inline I32 merge(I32 a, I32 b, I32 mask) { return a | (b & mask); }
template <int n>
inline I32 shift_left(I32 a) {
  return detail::each<I32>(
      [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.lane[i]) << n); });
}
template <int n>
inline I32 shift_right(I32 a) {
  return detail::each<I32>(
      [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.lane[i]) >> n); });
}
template <int n>
inline I32 rotate_left(I32 a) {
  return shift_left<n>(a) | shift_right<32 - n>(a);
}
template <int n>
inline I32 shift_right_signed(I32 a) {
  return detail::each<I32>([&](int i) { return a.lane[i] >> n; });
}

inline F32 load_bf16(const uint16_t* p) {
  return from_bits(detail::each<I32>(
      [=](int i) { return static_cast<int32_t>(static_cast<uint32_t>(p[i]) << 16); }));
}
inline I32 to_bf16(F32 v) {
  return detail::each<I32>([&](int i) {
    uint32_t word;
    std::memcpy(&word, &v.lane[i], sizeof word);
    const bool nan = (word & 0x7fffffffu) > 0x7f800000u;
    return static_cast<int32_t>(nan ? (word >> 16) | 0x40u
                                    : (word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  });
}
inline void store_bf16(uint16_t* p, F32 v) {
  const I32 words = to_bf16(v);
  for (int i = 0; i < 16; ++i) p[i] = static_cast<uint16_t>(words.lane[i]);
}
namespace detail {
inline float half_to_float(uint32_t half) {
  const uint32_t sign = (half & 0x8000u) << 16, magnitude = half & 0x7fffu;
  float v;
  if (magnitude < 0x400u) {  // below the normal ones: a multiple of 2^-24
    v = static_cast<float>(magnitude) * 0x1p-24f;
    return sign ? -v : v;
  }
  uint32_t word = (magnitude << 13) + (112u << 23);
  if (magnitude >= 0x7c00u) word = 0x7f800000u | magnitude << 13;
  if (magnitude > 0x7c00u) word |= 0x400000u;
  word |= sign;
  std::memcpy(&v, &word, sizeof v);
  return v;
}
inline uint16_t float_to_half(float v) {
  uint32_t word;
  std::memcpy(&word, &v, sizeof word);
  const uint32_t sign = word >> 16 & 0x8000u, magnitude = word & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {  // 65,520 and more
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // below 2^-14: adding 1/2 rounds to a multiple of 2^-24
    float small;
    std::memcpy(&small, &magnitude, sizeof small);
    small += 0.5f;
    std::memcpy(&half, &small, sizeof half);
    half -= 0x3f000000u;
  } else {
    half = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}
}  // namespace detail
inline F32 load_fp16(const uint16_t* p) {
  return detail::each<F32>([=](int i) { return detail::half_to_float(p[i]); });
}
inline void store_fp16(uint16_t* p, F32 v) {
  for (int i = 0; i < 16; ++i) p[i] = detail::float_to_half(v.lane[i]);
}
inline I32 load_i8(const int8_t* p) {
  return detail::each<I32>([=](int i) { return static_cast<int32_t>(p[i]); });
}

inline void store_i16(int16_t* p, I32 v) {
  for (int i = 0; i < 16; ++i) {
    const int32_t low = v.lane[i] > -32768 ? v.lane[i] : -32768;
    p[i] = static_cast<int16_t>(low < 32767 ? low : 32767);
  }
}
inline constexpr bool kFastPairs = false;
inline I32 add_pair_products(I32 sum, I32 a, I32 b) {
  return detail::each<I32>([&](int i) {
    const auto low = [&](I32 v) { return static_cast<int16_t>(v.lane[i]); };
    const auto high = [&](I32 v) { return static_cast<int16_t>(v.lane[i] >> 16); };
    return static_cast<int32_t>(static_cast<uint32_t>(sum.lane[i]) +
                                static_cast<uint32_t>(low(a) * low(b)) +
                                static_cast<uint32_t>(high(a) * high(b)));
  });
}

inline Table16 load_table(const float* values) { return {values}; }
inline F32 lookup16(Table16 table, I32 index) {
  return detail::each<F32>([&](int i) { return table.values[index.lane[i] & 15]; });
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

struct Bytes16 { const int8_t* values; };
inline Bytes16 load_bytes16(const int8_t* values) { return {values}; }
inline I32 lookup_i8(Bytes16 table, I32 index) {
  return detail::each<I32>([&](int i) {
    uint32_t out = 0;
    for (int b = 0; b < 32; b += 8)
      out |= uint32_t{static_cast<uint8_t>(table.values[(index.lane[i] >> b) & 15])} << b;
    return static_cast<int32_t>(out);
  });
}
inline void store_i8(int8_t* p, I32 v) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(v.lane[i]);
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
    int32_t total = sum.lane[i];
    for (int shift = 0; shift < 32; shift += 8)
      total +=
          static_cast<int8_t>(w.bytes.lane[i] >> shift) * static_cast<int8_t>(x.lane[i] >> shift);
    return total;
  });
}
inline I32 widen(I32 sum) { return sum; }

struct Bytes64 { uint8_t byte[64]; };
inline Bytes64 load_bytes64(const uint8_t* p) {
  Bytes64 out;
  std::memcpy(out.byte, p, sizeof out.byte);
  return out;
}
inline uint64_t in_range(const Bytes64& v, uint8_t first, uint8_t last) {
  const auto span = static_cast<uint8_t>(last - first);
  uint64_t mask = 0;
  for (int i = 0; i < 64; ++i)
    mask |= uint64_t{static_cast<uint8_t>(v.byte[i] - first) <= span} << i;
  return mask;
}

inline uint64_t lookup_bits(uint64_t table, const Bytes64& v) {
  uint64_t mask = 0;
  for (int i = 0; i < 64; ++i) mask |= (table >> (v.byte[i] & 63) & 1) << i;
  return mask;
}

// The tree of the vector code: halves of 8, then 4, then 2, then 1.
inline float reduce_add(F32 v) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) v.lane[i] += v.lane[i + half];
  return v.lane[0];
}
inline float reduce_max(F32 v) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i)
      v.lane[i] = v.lane[i] > v.lane[i + half] ? v.lane[i] : v.lane[i + half];
  return v.lane[0];
}

inline void transpose8x16(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  for (int r = 0; r < 8; ++r)
    for (int c = 0; c < 16; ++c) out[c * out_stride + r] = in[r * in_stride + c];
}

}  // namespace lowbit::LOWBIT_ISA
