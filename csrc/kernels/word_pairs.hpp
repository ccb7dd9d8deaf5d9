// What skip-gram and bags of words share: N rows of one table, T of another, all N x T dot
// products, and both gradients, as three small matrix products whose sums stay in registers.
#pragma once

#include "kernels/span.hpp"
#include "kernels/vector_args.hpp"
#include "simd/math.hpp"

namespace lowbit::LOWBIT_ISA {

// Rows by columns of a tile of dot products, and targets whose gradients are summed together.
constexpr int kPairRows = kTileSums >= 24 ? 4 : 2;
constexpr int kPairColumns = kTileSums >= 24 ? 6 : 3;

// The memory of one example, cut from the scratch of the call.
struct PairScratch {
  float* sums;       // [N x T rounded up to 16][16]: products before their lanes are added
  float* g;          // [N x T rounded up to 16]: scores, then gradients
  float* in_delta;   // [N][16]: of the columns at hand
  float* out_delta;  // [T][16]
  float** in;        // [N]
  float** out;       // [T]

  PairScratch(float* memory, int64_t inputs, int64_t targets) {
    const int64_t pairs = round_up(inputs * targets, 16);
    in = reinterpret_cast<float**>(memory);
    out = in + inputs;
    sums = memory + round_up(2 * (inputs + targets), 16);
    g = sums + 16 * pairs;
    in_delta = g + pairs;
    out_delta = in_delta + 16 * inputs;
  }
};

template <int rows, int columns>
[[gnu::always_inline]] inline void multiply_pairs(float* const* in, float* const* out,
                                                  int64_t stride, float* sums, int64_t targets) {
  F32 sum[rows][columns];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int t = 0; t < columns; ++t) sum[r][t] = zero();
  for (int64_t c = 0; c < stride; c += kLanes) {
    F32 y[columns];
#pragma GCC unroll 8
    for (int t = 0; t < columns; ++t) y[t] = load(out[t] + c);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const F32 x = load(in[r] + c);
#pragma GCC unroll 8
      for (int t = 0; t < columns; ++t) sum[r][t] = fma(x, y[t], sum[r][t]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int t = 0; t < columns; ++t) store(sums + (r * targets + t) * kLanes, sum[r][t]);
}

template <int rows, int columns>
inline void multiply_columns(float* const* in, float* const* out, int64_t stride, float* sums,
                             int64_t targets, int64_t left) {
  for (; left >= columns; left -= columns, out += columns, sums += columns * kLanes)
    multiply_pairs<rows, columns>(in, out, stride, sums, targets);
  if constexpr (columns > 1)
    multiply_columns<rows, columns - 1>(in, out, stride, sums, targets, left);
}

template <int rows>
inline void multiply_rows(float* const* in, float* const* out, int64_t stride, float* sums,
                          int64_t targets, int64_t left) {
  for (; left >= rows; left -= rows, in += rows, sums += rows * targets * kLanes)
    multiply_columns<rows, kPairColumns>(in, out, stride, sums, targets, targets);
  if constexpr (rows > 1) multiply_rows<rows - 1>(in, out, stride, sums, targets, left);
}

// g[n][t] = lr (label - sigmoid(in[n] . out[t])); the first `positives` targets have the label 1,
// the others count `weight` times.
inline void pair_gradients(const PairScratch& s, int64_t inputs, int64_t targets, int64_t stride,
                           int64_t positives, float lr, float weight, double* loss) {
  multiply_rows<kPairRows>(s.in, s.out, stride, s.sums, targets, inputs);
  const int64_t pairs = inputs * targets;
  for (int64_t i = 0; i < pairs; i += kLanes) store(s.g + i, reduce_add16(s.sums + i * kLanes));
  if (loss) {
    float* losses = s.sums;  // no longer needed
    for (int64_t n = 0; n < inputs; ++n)  // softplus(-s) where the label is 1
      for (int64_t t = 0; t < targets; ++t)
        losses[n * targets + t] = t < positives ? -s.g[n * targets + t] : s.g[n * targets + t];
    for (int64_t i = 0; i < pairs; i += kLanes) store(losses + i, softplus(load(losses + i)));
    for (int64_t i = 0; i < pairs; ++i)
      *loss += i % targets < positives ? double{losses[i]} : double{losses[i]} * double{weight};
  }
  const F32 one = set1(1.0f), minus = set1(-lr);
  for (int64_t i = 0; i < pairs; i += kLanes)
    store(s.g + i, minus / (one + exp(zero() - load(s.g + i))));
  for (int64_t n = 0; n < inputs; ++n) {
    float* g = s.g + n * targets;
    for (int64_t t = 0; t < positives; ++t) g[t] += lr;
    if (weight != 1)
      for (int64_t t = positives; t < targets; ++t) g[t] *= weight;
  }
}

// The gradients of 16 columns from a few of the targets, added to what others have left.
template <int columns>
[[gnu::always_inline]] inline void add_gradients(const PairScratch& s, int64_t inputs,
                                                 int64_t targets, int64_t first, int64_t column) {
  F32 y[columns], delta[columns];
#pragma GCC unroll 8
  for (int t = 0; t < columns; ++t) y[t] = load(s.out[first + t] + column), delta[t] = zero();
  const float* g = s.g + first;
  for (int64_t n = 0; n < inputs; ++n, g += targets) {
    const F32 x = load(s.in[n] + column);
    F32 sum = first == 0 ? zero() : load(s.in_delta + n * kLanes);
#pragma GCC unroll 8
    for (int t = 0; t < columns; ++t) {
      const F32 weight = set1(g[t]);
      sum = fma(weight, y[t], sum);
      delta[t] = fma(weight, x, delta[t]);
    }
    store(s.in_delta + n * kLanes, sum);
  }
#pragma GCC unroll 8
  for (int t = 0; t < columns; ++t) store(s.out_delta + (first + t) * kLanes, delta[t]);
}

template <int columns>
inline void add_all_gradients(const PairScratch& s, int64_t inputs, int64_t targets, int64_t first,
                              int64_t column) {
  for (; targets - first >= columns; first += columns)
    add_gradients<columns>(s, inputs, targets, first, column);
  if constexpr (columns > 1)
    add_all_gradients<columns - 1>(s, inputs, targets, first, column);
}

inline void add_to(float* p, F32 v) { store(p, load(p) + v); }

// Both gradients, 16 columns at a time: all rows are read before one is changed, so that a row that
// comes twice gets both of its changes. finish(n, column, delta) takes what input n gets.
template <class Finish>
inline void update_pairs(const PairScratch& s, int64_t inputs, int64_t targets, int64_t stride,
                         Finish&& finish) {
  for (int64_t c = 0; c < stride; c += kLanes) {
    add_all_gradients<kPairColumns>(s, inputs, targets, 0, c);
    for (int64_t n = 0; n < inputs; ++n) finish(n, c, load(s.in_delta + n * kLanes));
    for (int64_t t = 0; t < targets; ++t) add_to(s.out[t] + c, load(s.out_delta + t * kLanes));
  }
}

inline void prefetch_row(const float* row, int64_t stride) {
  for (int64_t c = 0; c < stride; c += kLanes) __builtin_prefetch(row + c, 1);
}

// The rows that the example behind example i needs: what is new of its inputs, and its targets.
inline void prefetch_next(const WordPairsArgs& a, int64_t i) {
  const WordExamples& e = a.examples;
  if (i + 1 >= e.count) return;
  const int64_t end = e.input_begin[i + 2];
  for (int64_t n = a.sliding ? end - 1 : e.input_begin[i + 1]; n < end; ++n)
    prefetch_row(a.input.row(e.inputs[n]), a.stride);
  for (int64_t t = e.target_begin[i + 1]; t < e.target_begin[i + 2]; ++t)
    prefetch_row(a.output.row(e.targets[t]), a.stride);
}

}  // namespace lowbit::LOWBIT_ISA
