#include "vectors/examples.hpp"

#include <algorithm>
#include <cmath>

namespace lowbit::vectors {
namespace {

std::vector<double> powers(const std::vector<int64_t>& counts, double exponent) {
  std::vector<double> weights;
  for (const int64_t count : counts)  // what the corpus does not have is never drawn
    weights.push_back(count > 0 ? std::pow(static_cast<double>(count), exponent) : 0.0);
  return weights;
}

}  // namespace

void ExampleBuffer::clear() {
  inputs.clear(), targets.clear(), positives.clear();
  input_begin.assign(1, 0), target_begin.assign(1, 0);
}

void ExampleBuffer::end_example(int32_t count) {
  positives.push_back(count);
  input_begin.push_back(static_cast<int64_t>(inputs.size()));
  target_begin.push_back(static_cast<int64_t>(targets.size()));
}

WordExamples ExampleBuffer::part(int64_t begin, int64_t end) const {
  begin = std::min(begin, size()), end = std::min(end, size());
  return {inputs.data(),         input_begin.data() + begin, targets.data(),
          target_begin.data() + begin, positives.data() + begin, end - begin};
}

std::span<int32_t> ExampleBuffer::inputs_of(const WordExamples& part) {
  return {inputs.data() + part.input_begin[0], inputs.data() + part.input_begin[part.count]};
}

std::span<int32_t> ExampleBuffer::targets_of(const WordExamples& part) {
  return {targets.data() + part.target_begin[0], targets.data() + part.target_begin[part.count]};
}

WindowMaker::WindowMaker(const Corpus& corpus, const Subwords* subwords, const WordTree* tree,
                         const ExampleOptions& options)
    : options_(options),
      negatives_(powers(corpus.counts, options.exponent)),
      corpus_(corpus),
      subwords_(subwords),
      tree_(tree),
      keep_(keep_thresholds(corpus.counts, options.sample)) {}

void WindowMaker::make(int64_t epoch, int64_t sentence_begin, int64_t sentence_end,
                       ExampleBuffer& buffer) const {
  const auto stream = 2 * static_cast<uint64_t>(epoch);
  const uint64_t token_key = stream_key(options_.seed, stream);
  const uint64_t centre_key = stream_key(options_.seed, stream + 1);
  std::vector<Kept> kept;
  buffer.clear();
  for (int64_t s = sentence_begin; s < sentence_end; ++s) {
    const auto at = static_cast<size_t>(s);
    keep(token_key, corpus_.sentence_begin[at], corpus_.sentence_begin[at + 1], kept);
    for (size_t centre = 0; centre < kept.size(); ++centre)
      add_window(centre_key, kept, centre, buffer);
  }
}

void WindowMaker::keep(uint64_t key, int64_t begin, int64_t end, std::vector<Kept>& kept) const {
  kept.clear();
  for (int64_t p = begin; p < end;) {
    const auto place = static_cast<uint64_t>(p);
    const Philox block(key, place / 4);
    for (auto lane = place % 4; lane < 4 && p < end; ++lane, ++p) {
      const int32_t word = corpus_.tokens[static_cast<size_t>(p)];
      if (block.word[lane] < keep_[static_cast<size_t>(word)]) kept.push_back({word, p});
    }
  }
}

void WindowMaker::add_window(uint64_t key, const std::vector<Kept>& kept, size_t centre,
                             ExampleBuffer& buffer) const {
  const auto& [word, place] = kept[centre];
  const auto blocks = static_cast<uint64_t>(options_.negative / 4 + 1);
  const uint64_t first = static_cast<uint64_t>(place) * blocks;
  const Philox block(key, first);
  const size_t far = 1 + below(block.word[0], static_cast<uint32_t>(options_.window));
  buffer.around.clear();
  for (size_t i = centre > far ? centre - far : 0; i <= centre + far && i < kept.size(); ++i)
    if (i != centre) buffer.around.push_back(kept[i].word);
  if (buffer.around.empty()) return;  // a word without a neighbour predicts nothing
  const std::span<const int32_t> around(buffer.around), one(&word, 1);
  for (const int32_t input : options_.from_centre ? one : around) {
    const auto rows = subwords_ ? subwords_->rows(input) : std::span(&input, 1);
    buffer.inputs.insert(buffer.inputs.end(), rows.begin(), rows.end());
  }
  const auto right = options_.from_centre ? around : one;
  tree_ ? add_paths(right, buffer) : add_negatives(key, first, block, right, buffer);
}

void WindowMaker::add_negatives(uint64_t key, uint64_t first, Philox block,
                                std::span<const int32_t> right, ExampleBuffer& buffer) const {
  buffer.targets.insert(buffer.targets.end(), right.begin(), right.end());
  for (int64_t i = 1; i <= options_.negative; ++i) {
    if (i % 4 == 0) block = Philox(key, first + static_cast<uint64_t>(i / 4));
    const int32_t drawn = negatives_.draw(block.word[i % 4]);
    // As word2vec: one negative less instead of another one.
    if (std::find(right.begin(), right.end(), drawn) == right.end())
      buffer.targets.push_back(drawn);
  }
  buffer.end_example(static_cast<int32_t>(right.size()));
}

void WindowMaker::add_paths(std::span<const int32_t> right, ExampleBuffer& buffer) const {
  const auto add = [&](std::span<const int32_t> nodes) {
    buffer.targets.insert(buffer.targets.end(), nodes.begin(), nodes.end());
  };
  const size_t begin = buffer.targets.size();
  for (const int32_t word : right) add(tree_->ones(word));
  const size_t ones = buffer.targets.size() - begin;
  for (const int32_t word : right) add(tree_->zeros(word));
  buffer.end_example(static_cast<int32_t>(ones));
}

}  // namespace lowbit::vectors
