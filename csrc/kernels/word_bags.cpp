// The mean of several rows against targets: CBOW (Mikolov et al., 2013), whose bag is a window, and
// fastText (Bojanowski et al., 2017), whose bag is a word and its character n-grams.
#include "kernels/word_pairs.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// update_pairs of a single input. What a target gets is one product, and is added at once: written
// down in between, as there, it would double the stores, which bind. All targets are read before
// one is changed here, too.
template <class Finish>
inline void update_targets(const PairScratch& s, int64_t targets, const float* input,
                           int64_t stride, Finish&& finish) {
  for (int64_t c = 0; c < stride; c += kLanes) {
    F32 delta = zero();
    for (int64_t t = 0; t < targets; ++t) delta = fma(set1(s.g[t]), load(s.out[t] + c), delta);
    finish(c, delta);
    const F32 x = load(input + c);
    for (int64_t t = 0; t < targets; ++t) {
      float* row = s.out[t] + c;
      store(row, fma(set1(s.g[t]), x, load(row)));
    }
  }
}

}  // namespace

void word_bags(const WordPairsArgs& a) noexcept {
  const WordExamples& e = a.examples;
  for (int64_t i = 0; i < e.count; ++i) {
    const int64_t inputs = e.input_begin[i + 1] - e.input_begin[i];
    const int64_t targets = e.target_begin[i + 1] - e.target_begin[i];
    prefetch_next(a, i);
    // The mean, its gradient and where the rows lie come before the memory of the pairs, of which
    // the mean is the one input.
    float *mean = a.scratch, *gradient = mean + a.stride;
    auto** const rows = reinterpret_cast<float**>(gradient + a.stride);
    const PairScratch s(gradient + a.stride + round_up(2 * inputs, 16), 1, targets);
    for (int64_t n = 0; n < inputs; ++n) rows[n] = a.input.row(e.inputs[e.input_begin[i] + n]);
    const F32 share = set1(1.0f / static_cast<float>(inputs));
    for (int64_t c = 0; c < a.stride; c += kLanes) {
      F32 sum = zero();
      for (int64_t n = 0; n < inputs; ++n) sum = sum + load(rows[n] + c);
      store(mean + c, sum * share);
    }
    s.in[0] = mean;
    for (int64_t t = 0; t < targets; ++t)
      s.out[t] = a.output.row(e.targets[e.target_begin[i] + t]);
    double* const loss = i % a.loss_every == 0 ? a.loss : nullptr;
    const int64_t positives = e.positives[i], times = a.shared_negatives ? positives : 1;
    pair_gradients(s, 1, targets, a.stride, positives, a.lr, static_cast<float>(times), loss);
    if (loss) *a.loss_pairs += positives + times * (targets - positives);
    const F32 part = a.mean_gradient ? share : set1(1.0f);
    update_targets(s, targets, mean, a.stride,
                   [&](int64_t c, F32 delta) { store(gradient + c, delta * part); });
    for (int64_t n = 0; n < inputs; ++n)
      for (int64_t c = 0; c < a.stride; c += kLanes) add_to(rows[n] + c, load(gradient + c));
  }
}

}  // namespace lowbit::LOWBIT_ISA
