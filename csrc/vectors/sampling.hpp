// Every random choice of a training as a function of (seed, epoch, place in the corpus): the same
// words are dropped, windows shrunk and negatives drawn on any number of threads.
//
//   key of stream n of a seed:  words 0 and 1 of Philox block n; streams 2 epoch and 2 epoch + 1
//   token p is kept:            word p % 4 of block p / 4 of the first < its word's threshold
//   centre p, B blocks from p B of the second: word 0 makes the window, then one word a negative
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/random.hpp"

namespace lowbit::vectors {

inline uint64_t stream_key(uint64_t seed, uint64_t stream) {
  const Philox block(seed, stream);
  return block.word[0] | uint64_t{block.word[1]} << 32;
}

// 0 .. count - 1 from a random word.
inline uint32_t below(uint32_t word, uint32_t count) {
  return static_cast<uint32_t>(uint64_t{word} * count >> 32);
}

// Draws i with a probability in proportion to weight i by one load (Walker, 1977; Vose, 1991): the
// word's product with their number is a column, above the point, and a place in it, below.
class AliasTable {
 public:
  explicit AliasTable(const std::vector<double>& weights);

  int32_t draw(uint32_t word) const {
    const uint64_t product = uint64_t{word} * columns_.size();
    const auto i = static_cast<size_t>(product >> 32);
    const Column& column = columns_[i];
    // A choice without a branch, which none could foresee.
    const int32_t own = -int32_t{static_cast<uint32_t>(product) < column.threshold};
    return (static_cast<int32_t>(i) & own) | (column.other & ~own);
  }

 private:
  struct Column {
    uint32_t threshold;
    int32_t other;
  };
  std::vector<Column> columns_;
};

// Of the 2^32 values of a random word, how many keep an occurrence of each word: with
// f = count / (sample * total), a share of 1 / sqrt(f) + 1 / f, at most all, stays (Mikolov's
// program; the paper has another formula). sample = 0 keeps everything.
std::vector<uint64_t> keep_thresholds(const std::vector<int64_t>& counts, double sample);

}  // namespace lowbit::vectors
