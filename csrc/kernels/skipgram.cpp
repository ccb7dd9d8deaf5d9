// Skip-gram with negative sampling (Mikolov et al., 2013): every word of a window with the word in
// its middle and the negatives, which the window shares (Ji et al., 2016): one small matrix product
// instead of as many dot products, and a sixth of the rows to fetch.
#include "kernels/word_pairs.hpp"

namespace lowbit::LOWBIT_ISA {

void skipgram(const WordPairsArgs& a) noexcept {
  const WordExamples& e = a.examples;
  for (int64_t i = 0; i < e.count; ++i) {
    const int64_t inputs = e.input_begin[i + 1] - e.input_begin[i];
    const int64_t targets = e.target_begin[i + 1] - e.target_begin[i];
    prefetch_next(a, i);
    const PairScratch s(a.scratch, inputs, targets);
    for (int64_t n = 0; n < inputs; ++n)
      s.in[n] = a.input.row(e.inputs[e.input_begin[i] + n]);
    for (int64_t t = 0; t < targets; ++t)
      s.out[t] = a.output.row(e.targets[e.target_begin[i] + t]);
    double* const loss = i % a.loss_every == 0 ? a.loss : nullptr;
    pair_gradients(s, inputs, targets, a.stride, e.positives[i], a.lr, 1, loss);
    if (loss) *a.loss_pairs += inputs * targets;
    update_pairs(s, inputs, targets, a.stride,
                 [&](int64_t n, int64_t c, F32 delta) { add_to(s.in[n] + c, delta); });
  }
}

}  // namespace lowbit::LOWBIT_ISA
