// One AdamW step (Loshchilov and Hutter, 2019) over flat arrays.
#include "kernels/encoder_args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

void adamw(const AdamwArgs& a) noexcept {
  const F32 beta1 = set1(a.beta1), rest1 = set1(1.0f - a.beta1);
  const F32 beta2 = set1(a.beta2), rest2 = set1(1.0f - a.beta2);
  for (int64_t i = a.begin; i < a.end; i += kLanes) {
    const int lanes = static_cast<int>(a.end - i < kLanes ? a.end - i : kLanes);
    const F32 g = load_first(a.gradients + i, lanes) * set1(a.grad_scale);
    const F32 m = fma(beta1, load_first(a.m + i, lanes), rest1 * g);
    const F32 v = fma(beta2, load_first(a.v + i, lanes), rest2 * g * g);
    const F32 root = fma(sqrt(v), set1(a.root_correction), set1(a.eps));
    const F32 kept = load_first(a.parameters + i, lanes) * set1(a.keep);
    store_first(a.m + i, m, lanes);
    store_first(a.v + i, v, lanes);
    store_first(a.parameters + i, kept - set1(a.step_size) * m / root, lanes);
  }
}

}  // namespace lowbit::LOWBIT_ISA
