// Scaled dot-product attention (Vaswani et al., 2017) of one head, and its backward.
//
// Keys come in blocks of kAttentionBlock, of which 48 query rows see one at a time, so that scratch
// does not grow with the sequence. The softmax is that of FlashAttention (Dao et al., 2022): each
// block's weights are shares of all keys so far, and what the keys before gave is scaled down. A
// sequence of one block meets neither. The backward computes the weights again from the logarithm
// of the softmax's denominator. All five products run on the register tile of tile.hpp.
#include <cmath>

#include "formats/panel.hpp"
#include "kernels/encoder_args.hpp"
#include "kernels/rows.hpp"
#include "kernels/tile.hpp"
#include "simd/math.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// The head's columns in some rows of the batch.
template <class T>
MatrixView<T> slice(const AttentionShape& s, MatrixView<T> x, RowRange rows) {
  return {x.row(rows.begin) + s.head * s.head_dim, rows.size(), s.head_dim, x.stride};
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

// c = scale a b, or c + a b; b may go deeper than a.
void multiply(MatrixView<const float> a, Segment b, MatrixView<float> c, float scale = 1.0f,
              bool accumulate = false) {
  Tile t;
  t.segment_count = 1;
  t.segments[0] = b;
  t.segments[0].a = a.data;
  t.segments[0].a_stride = a.stride;
  t.segments[0].depth = a.cols;
  t.accumulate = accumulate;
  t.scale = scale;
  t.c = c.data;
  t.c_stride = c.stride;
  multiply_block<false>(t, a.rows, c.cols);
}

// Keys of a block that the query in this row of the batch sees.
int64_t seen(const AttentionShape& s, int64_t row, RowRange keys) {
  const int64_t before = row + 1 - keys.begin;
  return !s.causal || before > keys.size() ? keys.size() : before < 0 ? 0 : before;
}

// Zeroes dropped weights and scales the others; `row` is the token's row in the batch.
void drop(const AttentionShape& s, int64_t row, RowRange keys, float* weights) {
  if (!s.dropout.active()) return;
  const float scale = s.dropout.keep_scale();
  const int64_t first = (row * s.heads + s.head) * s.longest + keys.begin - s.sequence.begin;
  for_each_kept(s.dropout, first, first + keys.size(), [&](int64_t i, bool keep) {
    weights[i - first] = keep ? weights[i - first] * scale : 0.0f;
  });
}

// Scores of query rows from `row` on against the first keys of a block, as many as scores has
// columns; -inf where a query does not look and beyond the last key, so that exp gives 0.
void fill_scores(const AttentionShape& s, MatrixView<const float> q, int64_t row, RowRange keys,
                 const Segment& k, MatrixView<float> scores) {
  multiply(q, k, scores, 1.0f / std::sqrt(static_cast<float>(s.head_dim)));
  for (int64_t r = 0; r < q.rows; ++r)
    for (int64_t j = seen(s, row + r, keys); j < scores.stride; ++j) scores.row(r)[j] = -INFINITY;
}

// The softmax of one query over the keys so far: the highest score, and the sum of
// exp(score - highest).
struct Softmax {
  float highest, total;
};
constexpr Softmax kNoKeys{-INFINITY, 0.0f};

// Scores of a block to weights in place; returns what the shares of the keys before shrink to.
float softmax_row(float* row, int64_t stride, Softmax& state) {
  F32 top = set1(state.highest);
  for (int64_t j = 0; j < stride; j += kLanes) top = max(top, load(row + j));
  const float highest = reduce_max(top);
  F32 sum = zero();
  for (int64_t j = 0; j < stride; j += kLanes) {
    const F32 e = exp(load(row + j) - set1(highest));
    store(row + j, e);
    sum = sum + e;
  }
  float shrunk = 0.0f;
  if (state.total != 0.0f)  // there were keys before
    shrunk = reduce_max(exp(set1(state.highest - highest)) * set1(state.total));
  state = {highest, shrunk + reduce_add(sum)};
  const float inverse = 1.0f / state.total;
  for (int64_t j = 0; j < stride; j += kLanes) store(row + j, load(row + j) * set1(inverse));
  return shrunk * inverse;
}

float dot(const float* a, const float* b, int64_t count) {
  F32 sum = zero();
  for_columns(count, [&](int64_t i, int lanes) {
    sum = fma(read(a + i, lanes), read(b + i, lanes), sum);
  });
  return reduce_add(sum);
}

void multiply_row(float* row, int64_t count, float factor) {
  for_columns(count, [&](int64_t i, int lanes) {
    write(row + i, read(row + i, lanes) * set1(factor), lanes);
  });
}

// in [rows, keys] to out [keys, kQueryRows]; columns beyond `rows` hold anything.
void transpose(MatrixView<const float> in, float* out) {
  for (int64_t r = 0; r < in.rows; r += kLanes)
    for (int64_t j = 0; j < in.cols; j += kLanes)
      transpose16(in.row(r) + j, in.stride, out + j * kQueryRows + r, kQueryRows);
}

// Up to kQueryRows query rows meet one block of keys.
void attend(const AttentionArgs& a, RowRange rows, RowRange keys, const Segment& k,
            const Segment& v, float* scores, Softmax* states) {
  const AttentionShape& s = a.shape;
  const int64_t count = seen(s, rows.end - 1, keys), stride = round_up(count, kLanes);
  const MatrixView<float> weights(scores, rows.size(), count, stride);
  const MatrixView<float> out = slice(s, a.out, rows);
  const bool first = keys.begin == s.sequence.begin;
  fill_scores(s, slice(s, a.q, rows), rows.begin, keys, k, weights);
  for (int64_t r = 0; r < rows.size(); ++r) {
    if (first) states[r] = kNoKeys;
    const float kept = softmax_row(weights.row(r), stride, states[r]);
    if (!first) multiply_row(out.row(r), s.head_dim, kept);
    drop(s, rows.begin + r, {keys.begin, keys.begin + count}, weights.row(r));
  }
  multiply(weights, v, out, 1.0f, !first);
}

// What the backward of one block of keys works with.
struct Workspace {
  Segment k_across, v_across, k_down;
  float *weights, *gradients;  // [kQueryRows, keys]
  float* turned;               // [keys, kQueryRows]
  float* copied;               // query-side operands of odd width
};

// The part of up to kQueryRows query rows in all three gradients. The first rows of a call that
// does not accumulate take all keys, seen or not, so that all of dk and dv is set.
void backward_rows(const AttentionBackwardArgs& a, RowRange rows, const Workspace& w) {
  const AttentionShape& s = a.shape;
  const bool set = !a.accumulate && rows.begin == a.queries.begin;
  const int64_t count = set ? a.keys.size() : seen(s, rows.end - 1, a.keys);
  const int64_t stride = round_up(count, kLanes);
  const RowRange keys{a.keys.begin, a.keys.begin + count};
  const auto q = slice(s, a.q, rows), out = slice(s, a.out, rows), dout = slice(s, a.dout, rows);
  const MatrixView<float> p(w.weights, rows.size(), count, stride);
  const MatrixView<float> dp(w.gradients, rows.size(), count, stride);
  fill_scores(s, q, rows.begin, a.keys, w.k_across, p);
  multiply(dout, w.v_across, dp);
  const F32 scale = set1(1.0f / std::sqrt(static_cast<float>(s.head_dim)));
  for (int64_t r = 0; r < rows.size(); ++r) {
    const int64_t row = rows.begin + r;
    drop(s, row, keys, dp.row(r));
    const F32 lse = set1(a.lse.row(row)[s.head]);
    const F32 mean = set1(dot(dout.row(r), out.row(r), s.head_dim));
    for (int64_t j = 0; j < stride; j += kLanes) {
      const F32 weight = exp(load(p.row(r) + j) - lse);
      store(p.row(r) + j, weight);
      store(dp.row(r) + j, scale * weight * (load(dp.row(r) + j) - mean));
    }
    for (int64_t j = count; j < stride; ++j) dp.row(r)[j] = 0.0f;  // was never written
    drop(s, row, keys, p.row(r));
  }
  const MatrixView<const float> turned(w.turned, count, rows.size(), kQueryRows);
  transpose(p, w.turned);
  multiply(turned, down(dout, w.copied), slice(s, a.dv, keys), 1.0f, !set);
  transpose(dp, w.turned);
  multiply(turned, down(q, w.copied), slice(s, a.dk, keys), 1.0f, !set);
  multiply(dp, w.k_down, slice(s, a.dq, rows), 1.0f, a.accumulate);
}

}  // namespace

void attention(const AttentionArgs& a) noexcept {
  const AttentionShape& s = a.shape;
  const int64_t padded = attention_keys(s.longest) * round_up(s.head_dim, kLanes);
  float* scores = a.scratch + 2 * padded;
  Softmax states[kAttentionBlock];
  const RowRange seen_by_any{s.sequence.begin, s.causal ? a.queries.end : s.sequence.end};
  for (int64_t key = seen_by_any.begin; key < seen_by_any.end; key += kAttentionBlock) {
    const RowRange keys = seen_by_any.part(key, kAttentionBlock);
    const Segment k = across(slice(s, a.k, keys), a.scratch);
    const Segment v = down(slice(s, a.v, keys), a.scratch + padded);
    for (int64_t row = a.queries.begin; row < a.queries.end; row += kQueryRows)
      attend(a, a.queries.part(row, kQueryRows), keys, k, v, scores,
             states + (row - a.queries.begin));
  }
  for (int64_t r = 0; r < a.queries.size(); ++r)
    a.lse.row(a.queries.begin + r)[s.head] = states[r].highest + std::log(states[r].total);
}

// With weights p, their masked form m, and scores s = scale q k^T:
//   dv = m^T dout, dm = dout v^T, dp = mask(dm), ds = scale p (dp - rowsum(dout out))
//   dq = ds k, dk = ds^T q
void attention_backward(const AttentionBackwardArgs& a) noexcept {
  const AttentionShape& s = a.shape;
  const int64_t keys = attention_keys(s.longest), padded = keys * round_up(s.head_dim, kLanes);
  const int64_t all = kQueryRows * keys;  // scores
  const auto k = slice(s, a.k, a.keys), v = slice(s, a.v, a.keys);
  float* scores = a.scratch + 3 * padded;
  const Workspace w{across(k, a.scratch), across(v, a.scratch + padded),
                    down(k, a.scratch + 2 * padded), scores, scores + all, scores + 2 * all,
                    scores + 3 * all};
  for (int64_t row = a.queries.begin; row < a.queries.end; row += kQueryRows)
    backward_rows(a, a.queries.part(row, kQueryRows), w);
}

}  // namespace lowbit::LOWBIT_ISA
