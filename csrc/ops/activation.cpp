#include "ops/activation.hpp"

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {
constexpr int64_t kGrain = 8192;
}

void gelu(VectorView<const float> x, VectorView<float> y) {
  check_size("gelu", "y", y, x.size);
  Trace trace("gelu", x.size);
  parallel_for(x.size, kGrain, [&](int64_t begin, int64_t end) {
    kernels().gelu({x.data, y.data, begin, end});
  });
}

void gelu_backward(VectorView<const float> dy, VectorView<const float> x, VectorView<float> dx) {
  check_size("gelu_backward", "dy", dy, x.size);
  check_size("gelu_backward", "dx", dx, x.size);
  Trace trace("gelu_backward", x.size);
  parallel_for(x.size, kGrain, [&](int64_t begin, int64_t end) {
    kernels().gelu_backward({dy.data, x.data, dx.data, begin, end});
  });
}

}  // namespace lowbit::ops
