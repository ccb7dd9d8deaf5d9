// Arguments of the kernels that train word vectors.
#pragma once

#include <cstdint>

#include "core/views.hpp"

namespace lowbit {

// Examples of a corpus, one after the other. Example e has the rows `inputs[input_begin[e]]` to
// `inputs[input_begin[e + 1]]` of one table and likewise targets, rows of the other, of which the
// first `positives[e]` have the label 1 and the others the label 0.
struct WordExamples {
  const int32_t* inputs;
  const int64_t* input_begin;  // [count + 1]
  const int32_t* targets;
  const int64_t* target_begin;  // [count + 1]
  const int32_t* positives;     // [count]
  int64_t count;
};

// The rows of a table, of which those from `first` on, `count` of them, lie at `own` instead.
struct PairRows {
  float* table;
  int64_t stride;
  float* own;
  int32_t first, count;

  float* row(int32_t id) const {
    const auto at = static_cast<uint32_t>(id - first);
    return at < static_cast<uint32_t>(count) ? own + at * stride : table + id * stride;
  }
};

// One step of gradient descent after the other over
//   skipgram:   every input of an example with every target: sum of the losses of all pairs
//   word_bags:  the mean of the inputs of an example with every target; where targets of label 1
//               share those of label 0, these count as often as there are of them
// where the loss of scores s = x . y is softplus(-s) for the label 1 and softplus(s) for 0. An
// example reads all of its rows before it changes any. Rows hold `stride` floats, a multiple of 16.
struct WordPairsArgs {
  PairRows input, output;  // of inputs, and of targets
  int64_t stride;
  WordExamples examples;
  bool sliding;  // of the inputs of the next example only the last is new: others are in the cache
  float lr;
  bool shared_negatives;  // word_bags
  // word_bags: whether an input takes 1 / inputs of the gradient, as the mean's derivative says, or
  // all of it, as word2vec and fastText do.
  bool mean_gradient;
  int64_t loss_every;   // of so many examples, the first adds its losses
  double* loss;         // here,
  int64_t* loss_pairs;  // and their number here
  float* scratch;       // word_pairs_scratch or word_bags_scratch floats, 64-byte aligned
};

// For examples of at most so many inputs and targets.
inline int64_t word_pairs_scratch(int64_t inputs, int64_t targets) {
  const int64_t pairs = round_up(inputs * targets, 16);
  return round_up(2 * (inputs + targets), 16) + 17 * pairs + 16 * (inputs + targets);
}
inline int64_t word_bags_scratch(int64_t inputs, int64_t targets, int64_t stride) {
  return 2 * stride + round_up(2 * inputs, 16) + word_pairs_scratch(1, targets);
}

// Rows that a shard of a deterministic training had copies of. A row whose copy is the first since
// `epoch` began takes its change, and the copy becomes what the row was; later copies add theirs. A
// change is what differs, times the copy's weight.
struct MergeRowsArgs {
  MatrixView<float> table;
  MatrixView<float> copies;
  const int32_t* rows;    // of the table, for each copy
  const float* weights;   // of each copy
  const float** before;   // [table.rows]: where the row lies as it was
  int32_t* merged_in;    // [table.rows]: the epoch of the last merge
  int32_t epoch;
  int32_t part, mask;  // of the rows whose number & mask is `part`
};

// A thread's own copies of the rows of a table, as they are now and as they were when they were
// copied. The table gets what changed, times the row's weight; then all three are what it has.
struct ExchangeRowsArgs {
  MatrixView<float> table;
  float *own, *was;
  const float* weights;
};

// Two words, and how often they stand near each other.
struct GlovePair {
  int32_t row, column;
  float log_count;
  float weight;  // of the square of its error
};

// One step of AdaGrad after the other (Duchi et al., 2011; Pennington et al., 2014) over pairs:
// weight / 2 diff^2 with diff = w . c - log_count, of the vector w of the pair's row and the
// context vector c of its column; both are read before one is changed. A word has four rows of
// `stride` floats, a multiple of 16: w, c, and for each the sums of the squares of its steps before
// they are divided by the roots of these sums. The last floats of w are a bias and a one, those of
// c a one and a bias.
struct GloveArgs {
  float* table;
  int64_t stride;
  const GlovePair* pairs;
  int64_t count;
  bool symmetric;  // the same for the column's w and the row's c, unless they are one word's
  float lr, limit;  // a step is lr times the gradient, at most `limit` in magnitude, in the columns
  int64_t plain;    // before this one, a multiple of 16; behind it each of w and of c has its own
  const float *w_rates, *c_rates;    // [stride - plain]: 0 where a value does not change
  const float *w_limits, *c_limits;  // [stride - plain]
  double* loss;       // of all steps is added here,
  int64_t* trained;   // their number here,
  int64_t* left_out;  // and here the number of those whose diff is not finite
};

}  // namespace lowbit
