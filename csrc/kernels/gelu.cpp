// GELU (Hendrycks and Gimpel, 2016) with the exact error function, and its derivative.
#include "kernels/encoder_args.hpp"
#include "simd/math.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr float kRootHalf = 0.70710678f;            // 1 / sqrt 2
constexpr float kInverseRoot2Pi = 0.39894228f;      // 1 / sqrt(2 pi)

inline F32 normal_distribution(F32 x) {
  return fma(erf(x * set1(kRootHalf)), set1(0.5f), set1(0.5f));
}

// Applies f to 16 values at a time; the last ones through a padded copy.
template <class Function>
inline void apply(int64_t begin, int64_t end, Function&& f) {
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) f(i, kLanes);
  if (i < end) f(i, static_cast<int>(end - i));
}

}  // namespace

void gelu(const GeluArgs& a) noexcept {
  apply(a.begin, a.end, [&](int64_t i, int lanes) {
    const F32 x = lanes == kLanes ? load(a.x + i) : load_first(a.x + i, lanes);
    const F32 y = x * normal_distribution(x);
    if (lanes == kLanes)
      store(a.y + i, y);
    else
      store_first(a.y + i, y, lanes);
  });
}

// d/dx x Phi(x) = Phi(x) + x phi(x)
void gelu_backward(const GeluBackwardArgs& a) noexcept {
  apply(a.begin, a.end, [&](int64_t i, int lanes) {
    const F32 x = lanes == kLanes ? load(a.x + i) : load_first(a.x + i, lanes);
    const F32 dy = lanes == kLanes ? load(a.dy + i) : load_first(a.dy + i, lanes);
    const F32 density = exp(x * x * set1(-0.5f)) * set1(kInverseRoot2Pi);
    const F32 dx = dy * fma(x, density, normal_distribution(x));
    if (lanes == kLanes)
      store(a.dx + i, dx);
    else
      store_first(a.dx + i, dx, lanes);
  });
}

}  // namespace lowbit::LOWBIT_ISA
