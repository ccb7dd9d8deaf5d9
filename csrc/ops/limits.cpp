#include "ops/limits.hpp"

#include <algorithm>
#include <chrono>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

// The least seconds of several runs.
template <class Run>
double best_seconds(int tries, Run&& run) {
  double best = 1e30;
  for (int i = 0; i < tries; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
                              .count());
  }
  return best;
}

// Operations a second when every thread runs `probe`, which does `each` of them in one repeat.
double measure_multiply(void (*probe)(const ProbeArgs&) noexcept, Limit limit, int64_t repeats,
                        double each) {
  const Trace trace("probe");
  alignas(64) static const uint8_t zeros[kProbeTileBytes] = {};
  const int threads = get_num_threads();
  const double seconds = best_seconds(20, [&] {
    parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
      float result;
      for (int64_t i = begin; i < end; ++i) probe({limit, zeros, 0, repeats, &result});
    });
  });
  return each * static_cast<double>(repeats * threads) / seconds;
}

// `each` counts the operations of one lane of a register.
double measure_registers(Limit limit, double each) {
  const KernelTable& table = kernels();
  return measure_multiply(table.probe, limit, 200'000, each * 16 * table.tile_sums);
}

// `depth` is what one product of tiles sums for each of its 16 x 16 results.
double measure_tiles(Limit limit, double depth) {
  const KernelTable& table = kernels();
  if (!table.probe_tiles) return 0;
  return measure_multiply(table.probe_tiles, limit, 4'000, 4 * 2 * 256 * depth);
}

}  // namespace

double measure_read(VectorView<const uint8_t> data) {
  const int64_t steps = data.size / kProbeStep;
  check(steps >= 1, "measure_read: data has ", data.size, " bytes; pass at least ", kProbeStep);
  const Trace trace("probe");
  const KernelTable& table = kernels();
  const double seconds = best_seconds(5, [&] {
    parallel_for(steps, 4096, [&](int64_t begin, int64_t end) {
      float result;
      table.probe({Limit::read, data.data + begin * kProbeStep, (end - begin) * kProbeStep, 0,
                   &result});
    });
  });
  return static_cast<double>(steps * kProbeStep) / seconds;
}

double measure_fma() { return measure_registers(Limit::fma, 2); }
double measure_pairs() { return measure_registers(Limit::pairs, 4); }
double measure_bytes() { return measure_registers(Limit::bytes, 8); }
double measure_bf16_tiles() { return measure_tiles(Limit::tiles, 32); }
double measure_byte_tiles() { return measure_tiles(Limit::byte_tiles, 64); }

}  // namespace lowbit::ops
