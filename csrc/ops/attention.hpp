// Multi-head self-attention over packed sequences: a token sees its own sequence and no padding.
// Memory grows with the tokens alone, and a sequence of any length is work for all threads.
#pragma once

#include "core/random.hpp"
#include "core/views.hpp"

namespace lowbit::ops {

struct AttentionInputs {
  MatrixView<const float> q, k, v;  // [M, heads * head_dim], any row stride
  int64_t heads = 1;
  VectorView<const int64_t> indptr;  // [B + 1]
  DropoutMask dropout;               // of the attention weights
  bool causal = false;               // a token sees itself and the tokens before it
};

// out [M, heads * head_dim]; lse [M, heads] is what the backward needs.
void attention(const AttentionInputs& inputs, MatrixView<float> out, MatrixView<float> lse);

struct AttentionGradients {
  MatrixView<float> dq, dk, dv;
};

void attention_backward(const AttentionInputs& inputs, MatrixView<const float> dout,
                        MatrixView<const float> out, MatrixView<const float> lse,
                        const AttentionGradients& gradients);

}  // namespace lowbit::ops
