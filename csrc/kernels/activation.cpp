// Activations over flat arrays, and their derivatives:
//
//   gelu       x Phi(x) with the exact error function (Hendrycks and Gimpel, 2016)
//   gelu_tanh  its approximation x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
//   silu       x sigmoid(x) (Elfwing et al., 2018)
#include "kernels/encoder_args.hpp"
#include "kernels/rows.hpp"
#include "simd/math.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr float kRootHalf = 0.70710678f;        // 1 / sqrt 2
constexpr float kInverseRoot2Pi = 0.39894228f;  // 1 / sqrt(2 pi)
constexpr float kTwoRoot2Pi = 1.59576912f;      // 2 sqrt(2 / pi)
constexpr float kCubic = 0.044715f;

// From exp(-|x|), which goes to 0 where exp(|x|) would stop at the largest float.
inline F32 sigmoid(F32 x) {
  const F32 e = exp(zero() - abs(x));
  return select_less(x, zero(), e, set1(1.0f)) / (set1(1.0f) + e);
}

struct Gelu {
  static F32 distribution(F32 x) {
    return fma(erf(x * set1(kRootHalf)), set1(0.5f), set1(0.5f));
  }
  static F32 value(F32 x) { return x * distribution(x); }
  // d/dx x Phi(x) = Phi(x) + x phi(x)
  static F32 slope(F32 x) {
    const F32 density = exp(x * x * set1(-0.5f)) * set1(kInverseRoot2Pi);
    return fma(x, density, distribution(x));
  }
};

struct GeluTanh {
  // Beyond 12 the sigmoid is 0 or 1 in float, and the cube of a larger value could be infinite.
  static F32 bounded(F32 x) { return min(set1(12.0f), max(set1(-12.0f), x)); }
  static F32 gate(F32 x) {
    return sigmoid(x * fma(x * x, set1(kTwoRoot2Pi * kCubic), set1(kTwoRoot2Pi)));
  }
  static F32 value(F32 x) { return x * gate(bounded(x)); }
  static F32 slope(F32 x) {
    const F32 v = bounded(x), s = gate(v);
    const F32 inner = fma(v * v, set1(3 * kTwoRoot2Pi * kCubic), set1(kTwoRoot2Pi));
    return fma(v * inner * s, set1(1.0f) - s, s);
  }
};

struct Silu {
  static F32 value(F32 x) { return x * sigmoid(x); }
  static F32 slope(F32 x) {
    const F32 s = sigmoid(x);
    return fma(x * s, set1(1.0f) - s, s);
  }
};

template <class Use>
void visit(Activation kind, Use use) {
  switch (kind) {
    case Activation::gelu: return use(Gelu{});
    case Activation::gelu_tanh: return use(GeluTanh{});
    case Activation::silu: return use(Silu{});
  }
}

}  // namespace

void activation(const ActivationArgs& a) noexcept {
  visit(a.kind, [&](auto function) {
    for_columns(a.end - a.begin, [&](int64_t c, int lanes) {
      const int64_t i = a.begin + c;
      write(a.y + i, function.value(read(a.x + i, lanes)), lanes);
    });
  });
}

void activation_backward(const ActivationBackwardArgs& a) noexcept {
  visit(a.kind, [&](auto function) {
    for_columns(a.end - a.begin, [&](int64_t c, int lanes) {
      const int64_t i = a.begin + c;
      write(a.dx + i, read(a.dy + i, lanes) * function.slope(read(a.x + i, lanes)), lanes);
    });
  });
}

}  // namespace lowbit::LOWBIT_ISA
