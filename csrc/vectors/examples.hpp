// What a stretch of the corpus asks the model to predict.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/vector_args.hpp"
#include "vectors/corpus.hpp"
#include "vectors/sampling.hpp"
#include "vectors/subwords.hpp"
#include "vectors/word_tree.hpp"

namespace lowbit::vectors {

struct ExampleOptions {
  int64_t window = 5;    // words on either side at most; each centre draws 1..window
  int64_t negative = 5;  // words drawn for a target
  double sample = 1e-3;
  double exponent = 0.75;  // negatives ~ count^exponent
  uint64_t seed = 0;
  bool from_centre = false;  // fastText's skip-gram
};

// The memory of WordExamples.
struct ExampleBuffer {
  std::vector<int32_t> inputs, targets, positives;
  std::vector<int64_t> input_begin, target_begin;
  std::vector<int32_t> around;  // the words of the window at hand, without its centre

  void clear();
  void end_example(int32_t positives);
  int64_t size() const { return static_cast<int64_t>(positives.size()); }
  WordExamples view() const { return part(0, size()); }
  // Examples [begin, end) as far as there are any, and the rows that they name.
  WordExamples part(int64_t begin, int64_t end) const;
  std::span<int32_t> inputs_of(const WordExamples& part);
  std::span<int32_t> targets_of(const WordExamples& part);
};

// Windows of a corpus. The words around a centre are inputs and the centre is right (skip-gram and
// CBOW), or, in fastText's skip-gram, the other way round. With subwords an input word is its rows.
// Targets are the right words and negatives, which they share, or, with a tree, the nodes above
// them.
class WindowMaker {
 public:
  // Subwords and tree may be null. They and the corpus must outlive the maker.
  WindowMaker(const Corpus& corpus, const Subwords* subwords, const WordTree* tree,
              const ExampleOptions& options);

  // Of the sentences [begin, end); `buffer` is cleared first.
  void make(int64_t epoch, int64_t sentence_begin, int64_t sentence_end,
            ExampleBuffer& buffer) const;
  int64_t most_inputs() const {
    const int64_t words = options_.from_centre ? 1 : 2 * options_.window;
    return subwords_ ? words * subwords_->longest() : words;
  }
  int64_t most_targets() const {
    const int64_t right = options_.from_centre ? 2 * options_.window : 1;
    return tree_ ? right * tree_->longest() : right + options_.negative;
  }

 private:
  struct Kept {
    int32_t word;
    int64_t place;
  };
  void keep(uint64_t key, int64_t begin, int64_t end, std::vector<Kept>& kept) const;
  void add_window(uint64_t key, const std::vector<Kept>& kept, size_t centre,
                  ExampleBuffer& buffer) const;
  // Both end the example. The random words of a centre are those from block `first`, of which the
  // window took one.
  void add_negatives(uint64_t key, uint64_t first, Philox block, std::span<const int32_t> right,
                     ExampleBuffer& buffer) const;
  void add_paths(std::span<const int32_t> right, ExampleBuffer& buffer) const;

  const ExampleOptions options_;
  const AliasTable negatives_;
  const Corpus& corpus_;
  const Subwords* const subwords_;
  const WordTree* const tree_;
  const std::vector<uint64_t> keep_;
};

}  // namespace lowbit::vectors
