// Steps of GloVe (Pennington et al., 2014). A pair of words that is symmetric makes two steps side
// by side, on rows that have nothing in common: the processor waits for the sums of a product half
// as often.
#include <cstring>

#include "kernels/vector_args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// One of a pair's products: a vector, a context vector, and the sums of squares of each.
struct Product {
  float *w, *c, *w_sums, *c_sums;

  Product(const GloveArgs& a, int32_t row, int32_t column)
      : w(a.table + 4 * a.stride * row),
        c(a.table + 4 * a.stride * column + a.stride),
        w_sums(w + 2 * a.stride),
        c_sums(c + 2 * a.stride) {}
};

// By its bits: no flag of a compiler takes this away.
inline bool is_finite(float x) {
  uint32_t word;
  std::memcpy(&word, &x, sizeof word);
  return (word & 0x7F800000u) != 0x7F800000u;
}

// 1 / sqrt(x) for x >= 1 by its bits and two steps of Newton's, to 5e-6 of its value: instructions
// that every processor has many of, where roots and divisions wait for one unit.
inline F32 inverse_root(F32 x) {
  F32 y = from_bits(set1i(0x5F375A86) - shift_right<1>(bits(x)));
  const F32 half = set1(-0.5f) * x;
  y = y * fma(half * y, y, set1(1.5f));
  return y * fma(half * y, y, set1(1.5f));
}

inline void step_row(float* row, float* sums, F32 step, F32 limit) {
  const F32 clipped = max(zero() - limit, min(limit, step));
  const F32 sum = load(sums);
  store(row, load(row) - clipped * inverse_root(sum));
  store(sums, fma(clipped, clipped, sum));
}

inline void step_columns(const Product& p, int64_t column, F32 w_rate, F32 c_rate, F32 w_limit,
                         F32 c_limit) {
  const F32 w_step = w_rate * load(p.c + column), c_step = c_rate * load(p.w + column);
  step_row(p.w + column, p.w_sums + column, w_step, w_limit);
  step_row(p.c + column, p.c_sums + column, c_step, c_limit);
}

template <int products>
inline void step(const GloveArgs& a, const Product* p, const float* slope) {
  const F32 limit = set1(a.limit);
  F32 rate[products];
  for (int i = 0; i < products; ++i) rate[i] = set1(a.lr * slope[i]);
  for (int64_t c = 0; c < a.plain; c += kLanes)
    for (int i = 0; i < products; ++i) step_columns(p[i], c, rate[i], rate[i], limit, limit);
  for (int64_t c = a.plain; c < a.stride; c += kLanes) {
    const int64_t at = c - a.plain;
    for (int i = 0; i < products; ++i) {
      const F32 own = set1(slope[i]);
      step_columns(p[i], c, own * load(a.w_rates + at), own * load(a.c_rates + at),
                   load(a.w_limits + at), load(a.c_limits + at));
    }
  }
}

template <int products>
inline void train_pair(const GloveArgs& a, const GlovePair& pair, const Product (&p)[products]) {
  F32 sum[products];
  for (F32& one : sum) one = zero();
  for (int64_t c = 0; c < a.stride; c += kLanes)
    for (int i = 0; i < products; ++i) sum[i] = fma(load(p[i].w + c), load(p[i].c + c), sum[i]);
  float slope[products];
  int finite = 0;
  bool use[products];
  for (int i = 0; i < products; ++i) {
    const float diff = reduce_add(sum[i]) - pair.log_count;
    slope[i] = pair.weight * diff;
    use[i] = is_finite(diff);
    if (!use[i]) continue;
    ++finite;
    *a.loss += 0.5 * double{slope[i]} * double{diff};
  }
  *a.trained += finite;
  *a.left_out += products - finite;
  if (finite == products) [[likely]] {
    step<products>(a, p, slope);
  } else {
    for (int i = 0; i < products; ++i)
      if (use[i]) step<1>(a, p + i, slope + i);
  }
}

inline void prefetch_word(const GloveArgs& a, int32_t word) {
  const float* rows = a.table + 4 * a.stride * word;
  for (int64_t c = 0; c < 4 * a.stride; c += kLanes) __builtin_prefetch(rows + c, 1);
}

}  // namespace

void glove(const GloveArgs& a) noexcept {
  for (int64_t i = 0; i < a.count; ++i) {
    const GlovePair& pair = a.pairs[i];
    if (i + 1 < a.count) {
      prefetch_word(a, a.pairs[i + 1].row);
      prefetch_word(a, a.pairs[i + 1].column);
    }
    const Product one(a, pair.row, pair.column);
    if (a.symmetric && pair.row != pair.column)
      train_pair<2>(a, pair, {one, Product(a, pair.column, pair.row)});
    else
      train_pair<1>(a, pair, {one});
  }
}

}  // namespace lowbit::LOWBIT_ISA
