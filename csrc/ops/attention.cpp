#include "ops/attention.hpp"

#include <algorithm>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

AttentionShape checked_shape(const char* function, const AttentionInputs& in) {
  check(in.heads >= 1 && in.q.cols >= 1 && in.q.cols % in.heads == 0, function, ": heads=",
        in.heads, " does not divide the width ", in.q.cols);
  check_shape(function, "k", in.k, in.q.rows, in.q.cols);
  check_shape(function, "v", in.v, in.q.rows, in.q.cols);
  check_indptr(function, in.indptr, in.q.rows);
  const float p = in.dropout.probability;
  check(p >= 0 && p < 1, function, ": dropout=", p, " is not in [0, 1)");
  check(in.dropout.counter % 4 == 0, function, ": counter=", in.dropout.counter,
        " is not a multiple of 4");
  int64_t longest = 0;
  for (int64_t s = 0; s + 1 < in.indptr.size; ++s)
    longest = std::max(longest, in.indptr[s + 1] - in.indptr[s]);
  return {in.indptr.data, in.heads, in.q.cols / in.heads, round_up(longest, 4), in.dropout};
}

// Calls run(sequence, head, scratch) for all pairs; a few heads of one sequence make a task.
template <class Run>
void for_heads(const AttentionShape& shape, int64_t sequences, Run&& run) {
  const int64_t size = attention_scratch(shape.longest, shape.head_dim);
  parallel_for(sequences * shape.heads, 4, [&](int64_t begin, int64_t end) {
    float* memory = scratch<float>(size);
    for (int64_t i = begin; i < end; ++i) run(i / shape.heads, i % shape.heads, memory);
  });
}

}  // namespace

void attention(const AttentionInputs& in, MatrixView<float> out, MatrixView<float> lse) {
  const AttentionShape shape = checked_shape("attention", in);
  check_shape("attention", "out", out, in.q.rows, in.q.cols);
  check_shape("attention", "lse", lse, in.q.rows, in.heads);
  Trace trace("attention", "M", in.q.rows, "sequences", in.indptr.size - 1, "heads", in.heads);
  for_heads(shape, in.indptr.size - 1, [&](int64_t sequence, int64_t head, float* memory) {
    kernels().attention({shape, in.q, in.k, in.v, out, lse, sequence, head, memory});
  });
}

void attention_backward(const AttentionInputs& in, MatrixView<const float> dout,
                        MatrixView<const float> out, MatrixView<const float> lse,
                        const AttentionGradients& gradients) {
  const char* name = "attention_backward";
  const AttentionShape shape = checked_shape(name, in);
  check_shape(name, "dout", dout, in.q.rows, in.q.cols);
  check_shape(name, "out", out, in.q.rows, in.q.cols);
  check_shape(name, "lse", lse, in.q.rows, in.heads);
  for (const MatrixView<float>& gradient : {gradients.dq, gradients.dk, gradients.dv})
    check_shape(name, "gradient", gradient, in.q.rows, in.q.cols);
  Trace trace(name, "M", in.q.rows, "sequences", in.indptr.size - 1, "heads", in.heads);
  for_heads(shape, in.indptr.size - 1, [&](int64_t sequence, int64_t head, float* memory) {
    kernels().attention_backward({shape, dout, in.q, in.k, in.v, out, lse, gradients.dq,
                                  gradients.dk, gradients.dv, sequence, head, memory});
  });
}

}  // namespace lowbit::ops
