#include "ops/activation.hpp"

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

constexpr int64_t kActivationGrain = 8192;

struct Names { const char *forward, *backward; };

// By Activation.
constexpr Names kNames[] = {{"gelu", "gelu_backward"},
                            {"gelu_tanh", "gelu_tanh_backward"},
                            {"silu", "silu_backward"}};

int index_of(const std::string& name) {
  for (int i = 0; i < 3; ++i)
    if (name == kNames[i].forward) return i;
  throw ArgumentError(message("activation: \"", name,
                              "\" is not known; use \"gelu\", \"gelu_tanh\" or \"silu\""));
}

}  // namespace

void activation(const std::string& name, VectorView<const float> x, VectorView<float> y) {
  const int index = index_of(name);
  const char* function = kNames[index].forward;
  check_size(function, "y", y, x.size);
  Trace trace(function, x.size);
  parallel_for(x.size, kActivationGrain, [&](int64_t begin, int64_t end) {
    kernels().activation({static_cast<Activation>(index), x.data, y.data, begin, end});
  });
}

void activation_backward(const std::string& name, VectorView<const float> dy,
                         VectorView<const float> x, VectorView<float> dx) {
  const int index = index_of(name);
  const char* function = kNames[index].backward;
  check_size(function, "dy", dy, x.size);
  check_size(function, "dx", dx, x.size);
  Trace trace(function, x.size);
  parallel_for(x.size, kActivationGrain, [&](int64_t begin, int64_t end) {
    kernels().activation_backward(
        {static_cast<Activation>(index), dy.data, x.data, dx.data, begin, end});
  });
}

}  // namespace lowbit::ops
