// Arguments of the kernels of an encoder. Tokens are packed: M rows, no padding; sequence s is the
// rows indptr[s] to indptr[s + 1].
#pragma once

#include "core/random.hpp"
#include "core/views.hpp"
#include "formats/table.hpp"

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

struct AttentionShape {
  const int64_t* indptr;
  int64_t heads, head_dim;
  int64_t longest;      // longest sequence, rounded up to a multiple of 4: the stride of the mask
  DropoutMask dropout;  // weight (token m, head h, key j) is element (m heads + h) longest + j
};

// out = softmax(q k^T / sqrt(head_dim)) v inside every sequence and head; lse [M, heads] is the
// logarithm of each softmax's denominator. One call does one (sequence, head).
struct AttentionArgs {
  AttentionShape shape;
  MatrixView<const float> q, k, v;  // [M, heads * head_dim]
  MatrixView<float> out;
  MatrixView<float> lse;
  int64_t sequence, head;
  float* scratch;  // attention_scratch(...) floats
};

struct AttentionBackwardArgs {
  AttentionShape shape;
  MatrixView<const float> dout, q, k, v, out, lse;
  MatrixView<float> dq, dk, dv;
  int64_t sequence, head;
  float* scratch;
};

// Query rows whose scores are held at a time; a multiple of 16 and of most tile heights.
constexpr int64_t kQueryRows = 48;

inline int64_t attention_scratch(int64_t longest, int64_t head_dim) {
  const int64_t keys = round_up(longest, 16), dim = round_up(head_dim, 16);
  // Transposed keys and values, padded keys and values, scores and their two gradients.
  return 4 * keys * dim + 3 * kQueryRows * keys + 2 * kQueryRows * dim + 64;
}

// out[m] = word[ids[m]] + position[position_ids[m]] + type[type_ids[m]]; only `word` is required.
struct EmbedArgs {
  TableView word;
  const int32_t* ids;
  MatrixView<const float> position;
  const int32_t* position_ids;
  MatrixView<const float> type;
  const int32_t* type_ids;
  MatrixView<float> out;
  int64_t row_begin, row_end;
};

// Rows of a table to int8 with one scale a row: scale = absmax / 127.
struct QuantizeRowsArgs {
  MatrixView<const float> source;
  int8_t* codes;
  float* scales;
  int64_t row_begin, row_end;
};

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
