// A binary tree with a word at every leaf, frequent ones near the root (Huffman, 1952).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lowbit::vectors {

// Hierarchical softmax (Morin and Bengio, 2005): a word is the path from the root to its leaf, and
// every inner node on it a choice of two, for which the node has a row of the table of targets.
class WordTree {
 public:
  // Counts must not rise. Again and again the two rarest of what has no parent get one, whose label
  // 1 is the rarer of them; of equals inner nodes come first, the older before the younger, then
  // words, the last before the first. Inner nodes are numbered in the order of their making.
  explicit WordTree(const std::vector<int64_t>& counts);

  int64_t words() const { return static_cast<int64_t>(ones_.size()); }
  int64_t inner_nodes() const { return words() - 1; }
  int64_t longest() const { return longest_; }  // path

  // The inner nodes above a word which it hangs from by their label 1, and by their label 0; each
  // from the root downwards.
  std::span<const int32_t> ones(int32_t word) const { return part(word, true); }
  std::span<const int32_t> zeros(int32_t word) const { return part(word, false); }

 private:
  std::span<const int32_t> part(int32_t word, bool ones) const {
    const auto at = static_cast<size_t>(word);
    const int32_t* begin = nodes_.data() + begin_[at];
    const int32_t* middle = begin + ones_[at];
    return ones ? std::span(begin, middle) : std::span(middle, nodes_.data() + begin_[at + 1]);
  }

  std::vector<int32_t> nodes_;  // of each path, those of label 1 first
  std::vector<int64_t> begin_;  // [words + 1]
  std::vector<int32_t> ones_;   // [words]
  int64_t longest_ = 0;
};

}  // namespace lowbit::vectors
