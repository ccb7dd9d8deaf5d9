// Arguments of the kernels of an encoder. Tokens are packed: M rows, no padding; sequence s is the
// rows indptr[s] to indptr[s + 1].
#pragma once

#include "core/random.hpp"
#include "core/views.hpp"
#include "formats/weight.hpp"

namespace lowbit {

// h = x + residual (or x itself when there is none), y = (h - mean) * rstd * gamma + beta.
struct LayerNormArgs {
  MatrixView<const float> x;
  MatrixView<const float> residual;  // or null
  const float* gamma;
  const float* beta;
  float eps;
  MatrixView<float> h;  // written when there is a residual
  MatrixView<float> y;
  float* mean;  // [M]
  float* rstd;  // [M]
  int64_t row_begin, row_end;
};

struct LayerNormBackwardArgs {
  MatrixView<const float> dy;
  MatrixView<const float> h;
  const float* mean;
  const float* rstd;
  const float* gamma;
  MatrixView<float> dh;
  int64_t row_begin, row_end;
};

// y = x rstd gamma with rstd = 1 / sqrt(mean(x^2) + eps).
struct RmsNormArgs {
  MatrixView<const float> x;
  const float* gamma;
  float eps;
  MatrixView<float> y;
  int64_t row_begin, row_end;
};

struct RmsNormBackwardArgs {
  MatrixView<const float> dy, x;
  const float* gamma;
  float eps;
  MatrixView<float> dx;
  int64_t row_begin, row_end;
};

// y = exp(x) / sum(exp(x)), row by row.
struct SoftmaxArgs {
  MatrixView<const float> x;
  MatrixView<float> y;
  int64_t row_begin, row_end;
};

struct SoftmaxBackwardArgs {
  MatrixView<const float> dy, y;
  MatrixView<float> dx;
  int64_t row_begin, row_end;
};

enum class Activation : int { gelu, gelu_tanh, silu };

// Over flat arrays.
struct ActivationArgs {
  Activation kind;
  const float* x;
  float* y;
  int64_t begin, end;
};

struct ActivationBackwardArgs {
  Activation kind;
  const float* dy;
  const float* x;
  float* dx;
  int64_t begin, end;
};

// Consecutive rows of a batch.
struct RowRange {
  int64_t begin = 0, end = 0;

  int64_t size() const { return end - begin; }
  // Rows from `first` on, at most `most` of them.
  RowRange part(int64_t first, int64_t most) const {
    return {first, end - first < most ? end : first + most};
  }
};

// Rows of queries and of keys that attention works on at a time: each key is packed once for so
// many queries, and a sequence this long has all of its scores in one softmax.
constexpr int64_t kAttentionBlock = 512;
// Query rows whose scores are held at a time; a multiple of 16 and of most tile heights.
constexpr int64_t kQueryRows = 48;

// One head of one sequence.
struct AttentionShape {
  int64_t heads, head_dim;
  int64_t longest;      // longest sequence, rounded up to a multiple of 4: the stride of the mask
  bool causal;          // a token sees itself and those before it, otherwise its whole sequence
  DropoutMask dropout;  // weight (token m, head h, key j) is element (m heads + h) longest + j
  RowRange sequence;
  int64_t head;
};

// out = softmax(q k^T / sqrt(head_dim)) v for up to kAttentionBlock rows of queries that begin a
// multiple of it after their sequence; lse [M, heads] is the logarithm of each softmax's
// denominator.
struct AttentionArgs {
  AttentionShape shape;
  MatrixView<const float> q, k, v;  // [M, heads * head_dim]
  MatrixView<float> out;
  MatrixView<float> lse;
  RowRange queries;
  float* scratch;  // attention_scratch(...) floats
};

// What one block of queries and one block of keys, not after it when causal, give to the gradients.
struct AttentionBackwardArgs {
  AttentionShape shape;
  MatrixView<const float> dout, q, k, v, out, lse;
  MatrixView<float> dq, dk, dv;
  RowRange queries, keys;
  bool accumulate;  // add to the gradients; otherwise set them
  float* scratch;
};

// Columns for the keys of a block, where the longest sequence has so many.
inline int64_t attention_keys(int64_t longest) {
  return round_up(longest < kAttentionBlock ? longest : kAttentionBlock, 16);
}

inline int64_t attention_scratch(int64_t longest, int64_t head_dim) {
  const int64_t keys = attention_keys(longest), dim = round_up(head_dim, 16);
  // Packed keys and values, scores, their gradients and transpose, one packed query-side operand.
  return 3 * keys * dim + 3 * kQueryRows * keys + kQueryRows * dim;
}

// Pairs of columns of every head turned by the angles of its token (Su et al., 2021), in place:
// (a, b) becomes (a cos - b sin, b cos + a sin), and with `back` the sines have the other sign.
struct RotaryArgs {
  Format format;  // of the elements: a dense one
  void* data;     // (token, head, column) is at token token_stride + head head_stride + column
  int64_t heads, token_stride, head_stride;
  MatrixView<const float> cos, sin;  // [tokens, pairs]; a stride of 0: one row for all tokens
  bool interleaved;                  // pair i is columns 2 i and 2 i + 1, otherwise i and pairs + i
  bool back;
  bool rounded;  // products are rounded to the format before they are added
  int64_t token_begin, token_end;
  float* scratch;  // rotary_scratch(pairs) floats
};

// Tokens whose heads are turned together where a head's tokens lie closer than a token's heads.
constexpr int64_t kRotaryTokens = 32;

inline int64_t rotary_scratch(int64_t pairs) { return kRotaryTokens * 4 * round_up(pairs, 32); }

// Mean of the rows of every sequence, or their sum; an empty sequence gives zeros.
struct PoolArgs {
  MatrixView<const float> x;
  const int64_t* indptr;
  bool mean;
  MatrixView<float> out;
  int64_t sequence_begin, sequence_end;
};

// AdamW with decoupled decay over flat arrays:
//   m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, g = grad_scale * gradient
//   p = p (1 - lr decay) - step_size m / (sqrt(v) * root_correction + eps)
struct AdamwArgs {
  float* parameters;
  const float* gradients;
  float* m;
  float* v;
  float beta1, beta2, eps;
  float grad_scale;
  float keep;             // 1 - lr * weight_decay
  float step_size;        // lr / (1 - beta1^step)
  float root_correction;  // 1 / sqrt(1 - beta2^step)
  int64_t begin, end;
};

}  // namespace lowbit
