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

// Multiply-adds of floats, or of pairs of 16-bit integers, into as many registers as a tile has.
// Operands come from memory, in the first-level cache, so that nothing can be computed beforehand.
template <bool integers>
float multiply(const ProbeArgs& a) {
  F32 sum[kTileSums];
  I32 total[kTileSums];
  for (int i = 0; i < kTileSums; ++i) sum[i] = zero(), total[i] = set1i(0);
  for (int64_t n = 0; n < a.repeats; ++n) {
    const I32 x = load_i32(a.data + n % (kProbeStep / 64) * 64);
#pragma GCC unroll 32
    for (int i = 0; i < kTileSums; ++i) {
      if constexpr (integers)
        total[i] = add_pair_products(total[i], x, total[i]);  // no two the same
      else
        sum[i] = fma(from_bits(x), from_bits(x), sum[i]);
    }
  }
  for (int i = 1; i < kTileSums; ++i) sum[0] = sum[0] + sum[i], total[0] = total[0] + total[i];
  return reduce_add(sum[0] + to_float(total[0]));
}

}  // namespace

void probe(const ProbeArgs& a) noexcept {
  switch (a.limit) {
    case Limit::read: *a.result = read(a); break;
    case Limit::fma: *a.result = multiply<false>(a); break;
    case Limit::pairs: *a.result = multiply<true>(a); break;
  }
}

}  // namespace lowbit::LOWBIT_ISA
