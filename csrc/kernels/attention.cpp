// Scaled dot-product attention (Vaswani et al., 2017) of one sequence and head, and its backward.
//
// 48 query rows at a time see all keys of their own sequence; no T x T matrix exists. The backward
// recomputes the weights from the stored logarithm of the softmax's denominator, as
// FlashAttention (Dao et al., 2022) does. All five products run on the register tile of tile.hpp.
#include <cmath>

#include "formats/panel.hpp"
#include "kernels/encoder_args.hpp"
#include "kernels/tile.hpp"
#include "simd/math.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// The head's slice of q, k or v, for the tokens of one sequence.
MatrixView<const float> slice(const AttentionShape& s, MatrixView<const float> x, int64_t sequence,
                              int64_t head) {
  const int64_t begin = s.indptr[sequence], end = s.indptr[sequence + 1];
  return {x.row(begin) + head * s.head_dim, end - begin, s.head_dim, x.stride};
}
MatrixView<float> slice(const AttentionShape& s, MatrixView<float> x, int64_t sequence,
                        int64_t head) {
  const int64_t begin = s.indptr[sequence], end = s.indptr[sequence + 1];
  return {x.row(begin) + head * s.head_dim, end - begin, s.head_dim, x.stride};
}

// b of x b^T: 16 rows of b become the lanes of a panel. Segment without its a.
Segment across(MatrixView<const float> b, float* buffer) {
  const WeightView w = dense_weight(b.data, b.rows, b.cols, b.stride);
  for (int64_t p = 0; p * kLanes < b.rows; ++p)
    read_panel(w, p, 0, b.cols, buffer + p * b.cols * kLanes);
  return {nullptr, 0, buffer, kLanes, b.cols * kLanes, b.cols};
}

// b of x b: read where it lies, or through a copy when its columns do not fill whole panels.
Segment down(MatrixView<const float> b, float* buffer) {
  if (b.cols % kLanes == 0) return {nullptr, 0, b.data, b.stride, kLanes, b.rows};
  const WeightView w = dense_weight(b.data, b.rows, b.cols, b.stride);
  const int64_t stride = round_up(b.rows, kLanes) * kLanes;
  for (int64_t p = 0; p * kLanes < b.cols; ++p)
    read_panel_transposed(w, p, 0, b.rows, buffer + p * stride);
  return {nullptr, 0, buffer, kLanes, stride, b.rows};
}

void multiply(MatrixView<const float> a, Segment b, MatrixView<float> c, float scale = 1.0f,
              bool accumulate = false) {
  Tile t;
  t.segment_count = 1;
  t.segments[0] = b;
  t.segments[0].a = a.data;
  t.segments[0].a_stride = a.stride;
  t.accumulate = accumulate;
  t.scale = scale;
  t.c = c.data;
  t.c_stride = c.stride;
  multiply_block<false>(t, a.rows, c.cols);
}

// Zeroes dropped weights and scales the others; `row` is the token's row in the batch.
void drop(const AttentionShape& s, int64_t row, int64_t head, float* weights, int64_t keys) {
  const float scale = s.dropout.keep_scale();
  const int64_t first = (row * s.heads + head) * s.longest;
  for_each_kept(s.dropout, first, first + keys, [&](int64_t i, bool keep) {
    weights[i - first] = keep ? weights[i - first] * scale : 0.0f;
  });
}

// Scores of some query rows against all keys, -inf beyond the last key so that exp gives 0.
void fill_scores(MatrixView<const float> q, const Segment& keys, int64_t count, float scale,
                 MatrixView<float> scores) {
  multiply(q, keys, {scores.data, q.rows, count, scores.stride}, scale);
  for (int64_t r = 0; r < q.rows; ++r)
    for (int64_t j = count; j < scores.stride; ++j) scores.row(r)[j] = -INFINITY;
}

// Scores to weights in place; returns the logarithm of the denominator.
float softmax_row(float* row, int64_t stride) {
  F32 top = set1(-INFINITY);
  for (int64_t j = 0; j < stride; j += kLanes) top = max(top, load(row + j));
  const float highest = reduce_max(top);
  F32 sum = zero();
  for (int64_t j = 0; j < stride; j += kLanes) {
    const F32 e = exp(load(row + j) - set1(highest));
    store(row + j, e);
    sum = sum + e;
  }
  const float total = reduce_add(sum);
  const F32 inverse = set1(1.0f / total);
  for (int64_t j = 0; j < stride; j += kLanes) store(row + j, load(row + j) * inverse);
  return highest + std::log(total);
}

float dot(const float* a, const float* b, int64_t count) {
  F32 sum = zero();
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) sum = fma(load(a + i), load(b + i), sum);
  if (i < count) {
    const int lanes = static_cast<int>(count - i);
    sum = fma(load_first(a + i, lanes), load_first(b + i, lanes), sum);
  }
  return reduce_add(sum);
}

// in [rows, keys] to out [keys, kQueryRows]; columns beyond `rows` hold anything.
void transpose(MatrixView<const float> in, MatrixView<float> out) {
  for (int64_t r = 0; r < in.rows; r += kLanes)
    for (int64_t j = 0; j < in.cols; j += kLanes)
      transpose16(in.row(r) + j, in.stride, out.row(j) + r, out.stride);
}

}  // namespace

void attention(const AttentionArgs& a) noexcept {
  const AttentionShape& s = a.shape;
  const auto q = slice(s, a.q, a.sequence, a.head), k = slice(s, a.k, a.sequence, a.head),
             v = slice(s, a.v, a.sequence, a.head);
  const auto out = slice(s, a.out, a.sequence, a.head);
  const int64_t length = k.rows, stride = round_up(length, kLanes), first = s.indptr[a.sequence];
  float* memory = a.scratch;
  const int64_t padded = stride * round_up(s.head_dim, kLanes);
  const Segment keys = across(k, memory);
  const Segment values = down(v, memory + padded);
  float* scores = memory + 2 * padded;
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
  for (int64_t begin = 0; begin < length; begin += kQueryRows) {
    const int64_t rows = length - begin < kQueryRows ? length - begin : kQueryRows;
    fill_scores({q.row(begin), rows, q.cols, q.stride}, keys, length, scale,
                {scores, rows, length, stride});
    for (int64_t r = 0; r < rows; ++r) {
      a.lse.row(first + begin + r)[a.head] = softmax_row(scores + r * stride, stride);
      if (s.dropout.active()) drop(s, first + begin + r, a.head, scores + r * stride, length);
    }
    multiply({scores, rows, length, stride}, values, {out.row(begin), rows, out.cols, out.stride});
  }
}

// With weights p, their masked form m, and scores s = scale q k^T:
//   dv = m^T dout, dm = dout v^T, dp = mask(dm), ds = scale p (dp - rowsum(dout out))
//   dq = ds k, dk = ds^T q
void attention_backward(const AttentionBackwardArgs& a) noexcept {
  const AttentionShape& s = a.shape;
  const auto q = slice(s, a.q, a.sequence, a.head), k = slice(s, a.k, a.sequence, a.head),
             v = slice(s, a.v, a.sequence, a.head), out = slice(s, a.out, a.sequence, a.head),
             dout = slice(s, a.dout, a.sequence, a.head);
  const auto dq = slice(s, a.dq, a.sequence, a.head), dk = slice(s, a.dk, a.sequence, a.head),
             dv = slice(s, a.dv, a.sequence, a.head);
  const int64_t length = k.rows, stride = round_up(length, kLanes), first = s.indptr[a.sequence];
  const int64_t dim = round_up(s.head_dim, kLanes), padded = stride * dim;
  float* memory = a.scratch;
  const Segment keys_across = across(k, memory), values_across = across(v, memory + padded);
  const Segment keys_down = down(k, memory + 2 * padded);
  float* weights = memory + 3 * padded;
  float* gradients = weights + kQueryRows * stride;
  float* turned = gradients + kQueryRows * stride;
  float* copied = turned + kQueryRows * stride;  // query-side operands of odd width
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));

  for (int64_t begin = 0; begin < length; begin += kQueryRows) {
    const int64_t rows = length - begin < kQueryRows ? length - begin : kQueryRows;
    const MatrixView<const float> q_rows(q.row(begin), rows, q.cols, q.stride);
    const MatrixView<const float> dout_rows(dout.row(begin), rows, dout.cols, dout.stride);
    const MatrixView<float> p(weights, rows, length, stride);
    const MatrixView<float> dp(gradients, rows, length, stride);
    const MatrixView<float> transposed(turned, length, rows, kQueryRows);
    fill_scores(q_rows, keys_across, length, scale, p);
    for (int64_t r = 0; r < rows; ++r) {
      const F32 lse = set1(a.lse.row(first + begin + r)[a.head]);
      for (int64_t j = 0; j < stride; j += kLanes)
        store(p.row(r) + j, exp(load(p.row(r) + j) - lse));
    }
    multiply(dout_rows, values_across, dp);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = first + begin + r;
      if (s.dropout.active()) drop(s, row, a.head, dp.row(r), length);
      const F32 mean = set1(dot(dout.row(begin + r), out.row(begin + r), s.head_dim));
      for (int64_t j = 0; j < stride; j += kLanes) {
        const F32 weight = load(p.row(r) + j);
        store(dp.row(r) + j, set1(scale) * weight * (load(dp.row(r) + j) - mean));
      }
      for (int64_t j = length; j < stride; ++j) dp.row(r)[j] = 0.0f;  // was never written
      if (s.dropout.active()) drop(s, row, a.head, p.row(r), length);
    }
    transpose(p, {turned, stride, rows, kQueryRows});
    multiply(transposed, down(dout_rows, copied), dv, 1.0f, begin > 0);
    transpose(dp, {turned, stride, rows, kQueryRows});
    multiply(transposed, down(q_rows, copied), dk, 1.0f, begin > 0);
    multiply(dp, keys_down, {dq.row(begin), rows, dq.cols, dq.stride});
  }
}

}  // namespace lowbit::LOWBIT_ISA
