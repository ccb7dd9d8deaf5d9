// Every function of the simd contract on the same inputs, written out as bytes. Compiled once per
// instruction set, like a kernel; test_kernels.cpp compares the bytes.
#include <cstring>

#include "core/byte_masks.hpp"
#include "simd/math.hpp"
#include "simd_probe.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Counts what it has no room for.
struct Writer {
  uint8_t* out;
  int64_t room, written = 0;

  void add(I32 v) {
    if (written + 64 <= room) store_i32(out + written, v);
    written += 64;
  }
  void add(F32 v) { add(bits(v)); }
  void add(float v) { add(set1(v)); }
};

// As many products as a sum takes at most (or eight), without their excess.
template <class Weights>
I32 add_all(Weights weights, I32 values) {
  auto sum = no_sum<Weights>();
  for (int step = 0; step < 8; ++step) sum = add_products(sum, weights, values);
  int32_t lanes[kLanes], bytes[kLanes];
  store_i32(lanes, widen(sum));
  store_i32(bytes, values);
  for (int i = 0; i < kLanes; ++i)
    for (int shift = 0; shift < 32; shift += 8)
      lanes[i] -= 8 * kExcess<Weights> * static_cast<int8_t>(bytes[i] >> shift);
  return load_i32(lanes);
}

// The same of two rows at once: `row` says whose sums.
template <int row, class Weights>
I32 add_row_pairs(Weights weights, Weights next, const int8_t* values) {
  auto sums = no_pair_sums<Weights>();
  for (int step = 0; step < 4; ++step)
    sums = add_products(sums, row_pairs(weights, next), values, values + 8);
  int32_t excess = 0;
  for (int k = 0; k < 4; ++k) excess += values[4 * row + k] + values[8 + 4 * row + k];
  return widen<row>(sums) - set1i(4 * kExcess<Weights> * excess);
}

// Exact for every input, NaN included: the bits of a NaN are moved or dropped, never computed.
void probe_exact(Writer& w, F32 a, F32 b, const float* table) {
  w.add(min(a, b));
  w.add(max(a, b));
  w.add(abs(a));
  w.add(copysign(a, b));
  w.add(swap_pairs(a));
  w.add(select_less(a, b, b, a));
  w.add(set1i(static_cast<int32_t>(less_mask(a, b))));
  w.add(to_int(a));
  const I32 i = bits(a), j = bits(b);
  w.add(i + j);
  w.add(i - j);
  w.add(i & j);
  w.add(i | j);
  w.add(i ^ j);
  w.add(max_unsigned(i, j));
  w.add(merge(i, j, set1i(0x0ff0ff00)));
  w.add(to_float(i));
  w.add(shift_left<0>(i)), w.add(shift_left<7>(i)), w.add(shift_left<31>(i));
  w.add(shift_right<0>(i)), w.add(shift_right<7>(i)), w.add(shift_right<31>(i));
  w.add(shift_right_signed<0>(i)), w.add(shift_right_signed<24>(i));
  w.add(rotate_left<13>(i));
  w.add(lookup16(load_table(table), i));
  uint16_t half[16];
  w.add(to_bf16(a));
  store_bf16(half, a);
  w.add(load_bf16(half));
  store_fp16(half, a);
  w.add(load_fp16(half));
  w.add(load_i8(reinterpret_cast<const int8_t*>(table)));
  int16_t words[32];
  store_i16(words, i), store_i16(words + 16, shift_right_signed<12>(j));
  w.add(load_i32(words));
  int8_t small[64];
  for (int part = 0; part < 4; ++part) store_i8(small + 16 * part, shift_right_signed<25>(i));
  w.add(load_i32(small));
  store_i8(small, shift_right_signed<24>(i), shift_right_signed<25>(j), shift_right_signed<26>(i),
           shift_right_signed<27>(j));
  w.add(load_i32(small));
  w.add(add_pair_products(i, j, load_i32(words)));
  const I32 codes = i & set1i(0x0f0f0f0f), other = j & set1i(0x0f0f0f0f);
  F32 looked_up[4];
  lookup_nibbles<0>(load_byte_table(table), codes, looked_up);
  for (const F32 v : looked_up) w.add(v);
  const int8_t levels[16] = {-127, 127, 3, -4, 0, 1, -1, 50, -50, 77, 8, -9, 100, -100, 126, -126};
  const I32 bytes = lookup_i8(load_bytes16(levels), codes);
  w.add(bytes);
  const I32 values = lookup_i8(load_bytes16(levels), other);
  w.add(add_all(signed_bytes(bytes), values));
  w.add(add_all(Nibbles{codes}, values));
  int8_t rows[64];
  store_i32(rows, values);
  w.add(add_row_pairs<0>(signed_bytes(bytes), signed_bytes(values), rows));
  w.add(add_row_pairs<1>(signed_bytes(bytes), signed_bytes(values), rows));
  w.add(add_row_pairs<0>(Nibbles{codes}, Nibbles{other}, rows));
  w.add(add_row_pairs<1>(Nibbles{codes}, Nibbles{other}, rows));
  uint8_t text[64];
  store_i32(text, i);
  const Bytes64 read = load_bytes64(text);
  uint64_t masks[8] = {in_range(read, 0, 0), in_range(read, 0, 127), in_range(read, 128, 255),
                       in_range(read, 60, 70), in_range(read, 100, 200), in_range(read, 0, 255),
                       in_range(read, 255, 255), in_range(read, 1, 254)};
  w.add(load_i32(masks));
  uint64_t looked_up_bits[8];
  for (int k = 0; k < 8; ++k)
    looked_up_bits[k] = lookup_bits(masks[k] * 0x9E3779B97F4A7C15u + 0x0123456789abcdefu, read);
  w.add(load_i32(looked_up_bits));
  uint32_t places[64 + kMorePlaces];
  for (const uint64_t bits : masks) {
    std::memset(places, 0, sizeof places);
    const int64_t count = list_bits(bits, 1000, places);
    for (int64_t i = count; i < 64; ++i) places[i] = static_cast<uint32_t>(count);
    for (int64_t i = 0; i < 64; i += kLanes) w.add(load_i32(places + i));
  }
}

// Arithmetic, for inputs that give no NaN: which NaN comes out is the processor's business.
void probe_arithmetic(Writer& w, F32 a, F32 b) {
  w.add(a + b);
  w.add(a - b);
  w.add(a * b);
  w.add(a / (abs(b) + set1(1.0f)));
  w.add(fma(a, b, b));
  w.add(sqrt(abs(a)));
  w.add(exp(a));
  w.add(erf(a));
  w.add(softplus(a));
  w.add(reduce_add(a));
  w.add(reduce_max(a));
}

}  // namespace

int64_t simd_probe(const SimdProbe& p) noexcept {
  Writer w{p.out, simd_probe_bytes(p.count)};
  for (int64_t i = 0; i < p.count; i += kLanes) {
    const F32 a = load(p.any + i), b = load(p.any + p.count - kLanes - i);
    probe_exact(w, a, b, p.finite + i);
    probe_arithmetic(w, load(p.finite + i), load(p.finite + p.count - kLanes - i));
  }
  for (int n = 0; n <= kLanes; ++n) {
    float lanes[kLanes];
    store(lanes, set1(7.0f));
    store_first(lanes, load_first(p.finite + n, n), n);
    w.add(load(lanes));
  }
  alignas(64) float line[kLanes];
  stream(line, load(p.finite + 1));
  stream_fence();
  w.add(load(line));
  float tile[16 * 17];
  transpose16(p.finite, 19, tile, 17);
  for (int r = 0; r < kLanes; ++r) w.add(load(tile + r * 17));
  transpose8x16(p.finite, 19, tile, 8);
  for (int r = 0; r < kLanes; r += 2) w.add(load(tile + r * 8));
  w.add(reduce_add16(p.finite));
  w.add(lookup256(p.finite, reinterpret_cast<const uint8_t*>(p.any)));
  return w.written;
}

}  // namespace lowbit::LOWBIT_ISA
