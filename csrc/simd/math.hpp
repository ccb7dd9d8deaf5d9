// exp, erf and the like on vectors of floats, with the same bits on every instruction set.
//
// The polynomials are minimax fits in double precision, rounded to float; errors measured over all
// of the range: exp 1.1 ulp, erf 1.3 ulp; softplus 2e-7 or as much of its value.
#pragma once

#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

inline F32 finite_or_zero(F32 v) {
  return select_less(abs(v), set1(__builtin_inff()), v, zero());
}

// exp(x) = 2^n exp(r) with |r| <= ln 2 / 2. Below -87.33 the result is 0 (no denormals), above
// 88.37 it stays at exp(88.37); NaN stays NaN because the constant is the first operand.
inline F32 exp(F32 x) {
  const F32 low = set1(-87.33654f), high = set1(88.37626f);
  const F32 v = max(low, min(high, x));
  const I32 n = to_int(v * set1(1.44269504f));
  const F32 whole = to_float(n);
  F32 r = fma(whole, set1(-0.693145752f), v);  // ln 2 in two parts: the first is exact times n
  r = fma(whole, set1(-1.42860677e-6f), r);
  F32 p = set1(1.395610161e-03f);
  p = fma(p, r, set1(8.375159465e-03f));
  p = fma(p, r, set1(4.166608304e-02f));
  p = fma(p, r, set1(1.666641533e-01f));
  p = fma(p, r, set1(0.5f));
  p = fma(p, r, set1(1.0f));
  p = fma(p, r, set1(1.0f));
  const F32 power = from_bits(shift_left<23>(n + set1i(127)));
  return select_less(x, low, zero(), p * power);
}

// erf(x) = x + x q(x^2) near zero, sign(x) (1 - exp(-t(|x|))) beyond 0.93.
inline F32 erf(F32 x) {
  const F32 s = x * x;
  F32 q = set1(8.345225069e-05f);
  q = fma(q, s, set1(-8.137437981e-04f));
  q = fma(q, s, set1(5.200634245e-03f));
  q = fma(q, s, set1(-2.685927041e-02f));
  q = fma(q, s, set1(1.128369421e-01f));
  q = fma(q, s, set1(-3.761263490e-01f));
  q = fma(q, s, set1(1.283792257e-01f));
  const F32 near = fma(q, x, x);

  const F32 a = min(set1(4.0f), abs(x));  // erf(4) is 1 in float
  F32 t = set1(6.628412166e-07f);
  t = fma(t, a, set1(1.232960039e-05f));
  t = fma(t, a, set1(-3.847832850e-04f));
  t = fma(t, a, set1(4.013389349e-03f));
  t = fma(t, a, set1(-2.481278032e-02f));
  t = fma(t, a, set1(1.079056859e-01f));
  t = fma(t, a, set1(6.336273551e-01f));
  t = fma(t, a, set1(1.129397035e+00f));
  t = fma(t, a, set1(-1.533812610e-04f));
  const F32 far = copysign(set1(1.0f) - exp(zero() - t), x);
  return select_less(abs(x), set1(0.93f), near, far);
}

// log(1 + exp(x)) = max(x, 0) + log(1 + u) with u = exp(-|x|), which is in 0..1.
inline F32 softplus(F32 x) {
  const F32 u = exp(zero() - abs(x));
  F32 q = set1(5.253457930e-03f);
  q = fma(q, u, set1(-2.958850749e-02f));
  q = fma(q, u, set1(7.836166769e-02f));
  q = fma(q, u, set1(-1.367477030e-01f));
  q = fma(q, u, set1(1.911143064e-01f));
  q = fma(q, u, set1(-2.484436929e-01f));
  q = fma(q, u, set1(3.331927061e-01f));
  q = fma(q, u, set1(-4.999950230e-01f));
  q = fma(q, u, set1(1.0f));
  return fma(q, u, max(x, zero()));
}

}  // namespace lowbit::LOWBIT_ISA
