#include "ops/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {
constexpr int64_t kGrain = 16384;
}

void adamw(VectorView<float> parameters, VectorView<const float> gradients, VectorView<float> m,
           VectorView<float> v, const AdamwOptions& o) {
  check_size("adamw", "gradients", gradients, parameters.size);
  check_size("adamw", "m", m, parameters.size);
  check_size("adamw", "v", v, parameters.size);
  check(o.step >= 1, "adamw: step=", o.step, " must be at least 1");
  check(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1, "adamw: betas (", o.beta1,
        ", ", o.beta2, ") must be in [0, 1)");
  const double steps = static_cast<double>(o.step);
  AdamwArgs args{};
  args.parameters = parameters.data, args.gradients = gradients.data;
  args.m = m.data, args.v = v.data;
  args.beta1 = static_cast<float>(o.beta1), args.beta2 = static_cast<float>(o.beta2);
  args.eps = static_cast<float>(o.eps), args.grad_scale = static_cast<float>(o.grad_scale);
  args.keep = static_cast<float>(1 - o.lr * o.weight_decay);
  args.step_size = static_cast<float>(o.lr / (1 - std::pow(o.beta1, steps)));
  args.root_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(o.beta2, steps)));
  Trace trace("adamw", parameters.size);
  parallel_for(parameters.size, kGrain, [&](int64_t begin, int64_t end) {
    AdamwArgs part = args;
    part.begin = begin, part.end = end;
    kernels().adamw(part);
  });
}

double sum_of_squares(VectorView<const float> x) {
  std::vector<double> parts(static_cast<size_t>(ceil_div(x.size, kGrain)));
  parallel_for(x.size, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; chunk += kGrain) {
      double sum = 0;
      const int64_t stop = std::min(chunk + kGrain, end);
      for (int64_t i = chunk; i < stop; ++i) sum += double{x[i]} * x[i];
      parts[static_cast<size_t>(chunk / kGrain)] = sum;
    }
  });
  double total = 0;
  for (const double part : parts) total += part;
  return total;
}

}  // namespace lowbit::ops
