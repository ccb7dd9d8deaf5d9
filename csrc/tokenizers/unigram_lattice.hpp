// All ways to spell a word at once: private to the unigram model.
#pragma once

#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "core/random.hpp"
#include "tokenizers/unigram.hpp"

namespace lowbit::tokenizers {

// The sum of scores at a place that no token leads to.
inline constexpr double kUnreached = -std::numeric_limits<double>::infinity();

// The tokens that a word has at each place. A path of them from the start to the end is a spelling.
class UnigramLattice {
 public:
  UnigramLattice(const Unigram& model, std::string_view word);

  // Pieces are as `Unigram::encode` gives them.
  std::vector<Spelling> best(int64_t count) const;
  void sample(double alpha, uint64_t seed, std::vector<Piece>& pieces) const;

 private:
  struct Edge {
    int32_t begin, end, id;
    double score;
    Piece piece() const { return {id, begin, end}; }
  };
  std::span<const Edge> ending_at(size_t place) const {
    return {edges_.data() + first_[place], first_[place + 1] - first_[place]};
  }
  void collect(std::vector<Edge>& edges) const;
  void sort_by_end(const std::vector<Edge>& edges);
  double score_of(size_t at, size_t bytes, int32_t id) const;
  bool search_as_sentencepiece(int64_t count, std::vector<Spelling>& spellings) const;
  void best_of_places(int64_t count, std::vector<Spelling>& spellings) const;

  const Unigram& model_;
  const std::string_view word_;
  std::vector<Edge> edges_;    // in the order of their ends, and then of their begins
  std::vector<size_t> first_;  // by place: the first edge that ends there
};

}  // namespace lowbit::tokenizers
