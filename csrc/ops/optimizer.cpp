#include "ops/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {
constexpr int64_t kOptimizerGrain = 16384;
}

void adamw(VectorView<float> parameters, VectorView<const float> gradients, VectorView<float> m,
           VectorView<float> v, const AdamwOptions& o) {
  check_size("adamw", "gradients", gradients, parameters.size);
  check_size("adamw", "m", m, parameters.size);
  check_size("adamw", "v", v, parameters.size);
  check(o.step >= 1, "adamw: step=", o.step, " must be at least 1");
  check(std::isfinite(o.lr) && o.lr >= 0, "adamw: lr=", o.lr, " must be finite and at least 0");
  check(o.eps >= 0, "adamw: eps=", o.eps, " must be at least 0");
  check(std::isfinite(o.weight_decay) && o.weight_decay >= 0, "adamw: weight_decay=",
        o.weight_decay, " must be finite and at least 0");
  check(std::isfinite(o.grad_scale), "adamw: grad_scale=", o.grad_scale, " must be finite");
  check(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1, "adamw: betas (", o.beta1,
        ", ", o.beta2, ") must be in [0, 1)");
  const double steps = static_cast<double>(o.step);
  AdamwArgs args{};
  args.parameters = parameters.data, args.gradients = gradients.data;
  args.m = m.data, args.v = v.data;
  args.beta1 = static_cast<float>(o.beta1), args.beta2 = static_cast<float>(o.beta2);
  args.eps = static_cast<float>(o.eps), args.grad_scale = static_cast<float>(o.grad_scale);
  args.keep = static_cast<float>(1 - o.lr * o.weight_decay);
  // The betas as the kernel has them, in float: 1 - 0.999f is 1.3e-5 away from 0.001, and only a
  // correction by the same number takes that out of the step.
  args.step_size = static_cast<float>(o.lr / (1 - std::pow(double{args.beta1}, steps)));
  args.root_correction =
      static_cast<float>(1 / std::sqrt(1 - std::pow(double{args.beta2}, steps)));
  Trace trace("adamw", parameters.size);
  parallel_for(parameters.size, kOptimizerGrain, [&](int64_t begin, int64_t end) {
    AdamwArgs part = args;
    part.begin = begin, part.end = end;
    kernels().adamw(part);
  });
}

double sum_of_squares(VectorView<const float> x) {
  std::vector<double> parts(static_cast<size_t>(ceil_div(x.size, kOptimizerGrain)));
  parallel_for(x.size, kOptimizerGrain, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; chunk += kOptimizerGrain) {
      double sum = 0;
      const int64_t stop = std::min(chunk + kOptimizerGrain, end);
      for (int64_t i = chunk; i < stop; ++i) sum += double{x[i]} * x[i];
      parts[static_cast<size_t>(chunk / kOptimizerGrain)] = sum;
    }
  });
  double total = 0;
  for (const double part : parts) total += part;
  return total;
}

}  // namespace lowbit::ops
