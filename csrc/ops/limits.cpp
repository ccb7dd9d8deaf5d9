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

// Operations a second when every thread multiplies; `each` counts them for one lane and register.
double measure_multiply(Limit limit, double each) {
  constexpr int64_t kRepeats = 200'000;
  const Trace trace("probe");
  alignas(64) static const uint8_t zeros[kProbeStep] = {};
  const KernelTable& table = kernels();
  const int threads = get_num_threads();
  const double seconds = best_seconds(20, [&] {
    parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
      float result;
      for (int64_t i = begin; i < end; ++i) table.probe({limit, zeros, 0, kRepeats, &result});
    });
  });
  return each * 16 * table.tile_sums * kRepeats * threads / seconds;
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

double measure_fma() { return measure_multiply(Limit::fma, 2); }
double measure_pairs() { return measure_multiply(Limit::pairs, 4); }
double measure_bytes() { return measure_multiply(Limit::bytes, 8); }

}  // namespace lowbit::ops
