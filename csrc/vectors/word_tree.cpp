#include "vectors/word_tree.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace lowbit::vectors {
namespace {

// What is above a word or an inner node, and by which label.
struct Link {
  int32_t parent = -1;  // the root has none
  bool one = false;
};

// Links of the words, then of the inner nodes. Words come from the rarest on and so are inner nodes
// made: both are queues, and one of their heads is the rarest of all.
std::vector<Link> huffman(const std::vector<int64_t>& counts) {
  const size_t words = counts.size(), inner = words - 1;
  std::vector<Link> links(words + inner);
  std::vector<int64_t> sums(inner);
  size_t word = words, node = 0;  // words below `word` and nodes from `node` on have no parent
  for (size_t made = 0; made < inner; ++made) {
    for (const bool one : {true, false}) {
      const bool take_node = node < made && (word == 0 || sums[node] <= counts[word - 1]);
      sums[made] += take_node ? sums[node] : counts[word - 1];
      links[take_node ? words + node++ : --word] = {static_cast<int32_t>(made), one};
    }
  }
  return links;
}

}  // namespace

WordTree::WordTree(const std::vector<int64_t>& counts) : begin_(1, 0) {
  check(counts.size() >= 2, "WordVectors.train: loss=\"hierarchical_softmax\" needs a vocabulary ",
        "of 2 words at least, got ", counts.size());
  int64_t total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const bool rises = i > 0 && counts[i] > counts[i - 1];
    check(!rises && counts[i] >= 0 && counts[i] <= INT64_MAX / 2 - total, "WordTree: count ", i,
          " is ", counts[i], "; counts must not rise, be below 0, or add up to 2^62");
    total += counts[i];
  }
  const std::vector<Link> links = huffman(counts);
  std::vector<int32_t> zeros;
  for (size_t w = 0; w < counts.size(); ++w) {
    const auto begin = static_cast<int64_t>(nodes_.size());
    zeros.clear();
    for (Link at = links[w]; at.parent >= 0;
         at = links[counts.size() + static_cast<size_t>(at.parent)])
      (at.one ? nodes_ : zeros).push_back(at.parent);
    const auto ones = static_cast<int64_t>(nodes_.size()) - begin;
    std::reverse(nodes_.begin() + begin, nodes_.end());
    nodes_.insert(nodes_.end(), zeros.rbegin(), zeros.rend());
    ones_.push_back(static_cast<int32_t>(ones));
    begin_.push_back(static_cast<int64_t>(nodes_.size()));
    longest_ = std::max(longest_, begin_.back() - begin);
  }
}

}  // namespace lowbit::vectors
