#include "ops/attention.hpp"

#include <algorithm>
#include <vector>

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
  return {in.heads, in.q.cols / in.heads, round_up(longest, 4), in.causal, in.dropout, {}, 0};
}

// Up to kAttentionBlock rows of one sequence.
struct Block {
  RowRange sequence, rows;
};

std::vector<Block> cut(VectorView<const int64_t> indptr) {
  std::vector<Block> blocks;
  for (int64_t s = 0; s + 1 < indptr.size; ++s) {
    const RowRange sequence{indptr[s], indptr[s + 1]};
    for (int64_t row = sequence.begin; row < sequence.end; row += kAttentionBlock)
      blocks.push_back({sequence, sequence.part(row, kAttentionBlock)});
  }
  return blocks;
}

// Calls run(shape of a head, rows of a block, scratch) for all pairs of the two.
template <class Run>
void for_heads(const AttentionShape& shape, const std::vector<Block>& blocks, Run&& run) {
  const int64_t size = attention_scratch(shape.longest, shape.head_dim);
  const int64_t grain = shape.longest <= kQueryRows ? 4 : 1;  // a short one is little work
  parallel_for(std::ssize(blocks) * shape.heads, grain, [&](int64_t begin, int64_t end) {
    float* memory = scratch<float>(size);
    for (int64_t i = begin; i < end; ++i) {
      const Block& block = blocks[static_cast<size_t>(i / shape.heads)];
      AttentionShape head = shape;
      head.sequence = block.sequence;
      head.head = i % shape.heads;
      run(head, block.rows, memory);
    }
  });
}

// The block of queries that a block of keys meets in a step: its own first, then those after it,
// then those from the start of the sequence on. None in steps that the sequence has no blocks for.
RowRange queries_of(RowRange sequence, RowRange keys, int64_t step) {
  const int64_t blocks = ceil_div(sequence.size(), kAttentionBlock);
  if (step >= blocks) return {};
  const int64_t index = ((keys.begin - sequence.begin) / kAttentionBlock + step) % blocks;
  return sequence.part(sequence.begin + index * kAttentionBlock, kAttentionBlock);
}

}  // namespace

void attention(const AttentionInputs& in, MatrixView<float> out, MatrixView<float> lse) {
  const AttentionShape shape = checked_shape("attention", in);
  check_shape("attention", "out", out, in.q.rows, in.q.cols);
  check_shape("attention", "lse", lse, in.q.rows, in.heads);
  Trace trace("attention", "M", in.q.rows, "sequences", in.indptr.size - 1, "heads", in.heads);
  for_heads(shape, cut(in.indptr), [&](const AttentionShape& head, RowRange rows, float* memory) {
    kernels().attention({head, in.q, in.k, in.v, out, lse, rows, memory});
  });
}

// dq of a block of queries is a sum over blocks of keys, dk and dv of a block of keys are sums over
// blocks of queries. In every step each block of keys meets another block of queries, so no two
// calls add to the same rows, and the order of each sum is the same for any number of threads.
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
  const std::vector<Block> blocks = cut(in.indptr);
  const int64_t steps = ceil_div(shape.longest, kAttentionBlock);
  for (int64_t step = 0; step < steps; ++step)
    for_heads(shape, blocks, [&](const AttentionShape& head, RowRange keys, float* memory) {
      const RowRange queries = queries_of(head.sequence, keys, step);
      if (queries.size() == 0 || (in.causal && queries.begin < keys.begin)) return;
      kernels().attention_backward({head, dout, in.q, in.k, in.v, out, lse, gradients.dq,
                                    gradients.dk, gradients.dv, queries, keys, step > 0, memory});
    });
}

}  // namespace lowbit::ops
