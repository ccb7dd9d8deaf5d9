// Loops that do one thing as fast as the processor can: the ceilings of other kernels.
#include "kernels/args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr int kStreams = 4;  // additions in flight, so that reading alone counts

// All bytes, in steps of kProbeStep; the sum keeps the compiler from leaving anything out.
float read(const ProbeArgs& a) {
  I32 sum[kStreams];
  for (I32& s : sum) s = set1i(0);
  for (const uint8_t *p = a.data, *end = a.data + a.bytes; p != end; p += kProbeStep)
#pragma GCC unroll 4
    for (int i = 0; i < kStreams; ++i) sum[i] = sum[i] + load_i32(p + 64 * i);
  return reduce_add(to_float(sum[0] + sum[1] + sum[2] + sum[3]));
}

void begin(F32& sum, int value) { sum = set1(static_cast<float>(value)); }
void begin(I32& sum, int value) { sum = set1i(value); }
float total(F32 sum) { return reduce_add(sum); }
float total(I32 sum) { return reduce_add(to_float(sum)); }

// Multiply-adds into as many registers as a tile has. The operand comes from memory, in the
// first-level cache, so that nothing can be computed beforehand; sums begin apart, and integers
// multiply their own sum, so that nothing is computed once for several.
template <class Sum, class Add>
float multiply(const ProbeArgs& a, Add add) {
  Sum sum[kTileSums];
  for (int i = 0; i < kTileSums; ++i) begin(sum[i], i + 1);
  for (int64_t n = 0; n < a.repeats; ++n) {
    const I32 x = load_i32(a.data + n % (kProbeStep / 64) * 64);
#pragma GCC unroll 32
    for (int i = 0; i < kTileSums; ++i) sum[i] = add(sum[i], x);
  }
  for (int i = 1; i < kTileSums; ++i) sum[0] = sum[0] + sum[i];
  return total(sum[0]);
}

}  // namespace

void probe(const ProbeArgs& a) noexcept {
  switch (a.limit) {
    case Limit::read: *a.result = read(a); break;
    case Limit::fma:
      *a.result = multiply<F32>(
          a, [](F32 sum, I32 x) { return fma(from_bits(x), from_bits(x), sum); });
      break;
    case Limit::pairs:
      *a.result = multiply<I32>(a, [](I32 sum, I32 x) { return add_pair_products(sum, x, sum); });
      break;
    case Limit::bytes:
      *a.result = multiply<I32>(
          a, [](I32 sum, I32 x) { return add_products(sum, signed_bytes(x), sum); });
      break;
    case Limit::tiles:
    case Limit::byte_tiles: break;  // probe_tiles.cpp
  }
}

}  // namespace lowbit::LOWBIT_ISA
