// What probe.cpp measures, for products of matrix tiles. Compiled for AMX alone.
#include "kernels/args.hpp"
#include "simd/amx.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr int64_t kProbeSteps = kProbeTileBytes / 2048;  // two tiles side by side a step

}  // namespace

void probe_tiles(const ProbeArgs& a) noexcept {
  const TileScope tiles;
  alignas(64) float sums[4 * 256];
  clear_sums<2, 2>();
  const auto* bytes = reinterpret_cast<const int8_t*>(a.data);
  const auto* words = reinterpret_cast<const uint16_t*>(a.data);
  const int64_t half = kProbeTileBytes / 2;  // from one of two tiles to the other
  for (int64_t n = 0; n < a.repeats; n += kProbeSteps) {
    if (a.limit == Limit::byte_tiles)
      multiply_byte_tiles<2, 2>(bytes, half, a.data, half, kProbeSteps);
    else
      multiply_tiles<2, 2>(words, half / 2, words, half / 2, kProbeSteps);
  }
  store_sums<2, 2>(sums, 32);
  *a.result = sums[0];
}

}  // namespace lowbit::LOWBIT_ISA
