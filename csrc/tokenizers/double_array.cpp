#include "tokenizers/double_array.hpp"

#include <algorithm>
#include <queue>

#include "core/error.hpp"

namespace lowbit::tokenizers {

// Places the nodes level by level, so that the upper levels, which every search visits, lie close
// together. Free places form a list in the order of their index; only the newest blocks of 256 stay
// in it, since older ones are too full to be worth the search.
class DoubleArray::Builder {
 public:
  Builder(std::vector<Entry> entries, std::vector<uint64_t>& units)
      : entries_(std::move(entries)), units_(units) {}

  void build() {
    grow();
    sums_.push_back(0);
    for (const Entry& entry : entries_) sums_.push_back(sums_.back() + entry.weight);
    nodes_.push({0, 0, static_cast<uint32_t>(entries_.size()), 0, 0});
    while (!nodes_.empty()) {
      const Node node = nodes_.top();
      nodes_.pop();
      place_children(node);
    }
    for (uint32_t block = 0; block < units_.size(); block += kBlock) close(block);
  }

 private:
  // The entries begin to end share their first `depth` bytes, which lead to the node.
  struct Node {
    uint32_t index, begin, end, depth;
    double weight;
    bool operator<(const Node& other) const { return weight < other.weight; }
  };
  static constexpr uint32_t kBlock = 256;
  static constexpr uint32_t kOpenBlocks = 16;
  static constexpr uint32_t kLargest = 1u << 31;
  static constexpr uint32_t kNowhere = UINT32_MAX;

  uint8_t byte(uint32_t entry, uint32_t depth) const {
    return static_cast<uint8_t>(entries_[entry].text[depth]);
  }

  void place_children(Node node) {
    if (node.begin < node.end && entries_[node.begin].text.size() == node.depth) {
      const auto id = static_cast<uint64_t>(entries_[node.begin].id) + 1;
      units_[node.index] |= id << 8;
      ++node.begin;
    }
    bytes_.clear();
    for (uint32_t i = node.begin; i < node.end; ++i)
      if (bytes_.empty() || bytes_.back() != byte(i, node.depth))
        bytes_.push_back(byte(i, node.depth));
    if (bytes_.empty()) return;
    const uint32_t base = find_base();
    base_used_[base] = true;
    units_[node.index] |= uint64_t{base} << 32;
    for (uint32_t i = node.begin; i < node.end;) {
      const uint8_t label = byte(i, node.depth);
      uint32_t end = i;
      while (end < node.end && byte(end, node.depth) == label) ++end;
      take(base ^ label, label);
      nodes_.push({base ^ label, i, end, node.depth + 1, sums_[end] - sums_[i]});
      i = end;
    }
  }

  uint32_t find_base() {
    for (uint32_t place = first_free_; place != kNowhere; place = after_[place]) {
      const uint32_t base = place ^ bytes_[0];
      if (!base_used_[base] && fits(base)) return base;
    }
    const auto base = static_cast<uint32_t>(units_.size());
    grow();
    return base;
  }

  bool fits(uint32_t base) const {
    return std::all_of(bytes_.begin(), bytes_.end(),
                       [&](uint8_t label) { return free_[base ^ label]; });
  }

  // The first block holds the root alone; a base of 0, which leads there, means no children.
  void grow() {
    const auto begin = static_cast<uint32_t>(units_.size());
    check(begin < kLargest, "Tokenizer: the vocabulary has more than ", kLargest, " prefixes");
    units_.resize(begin + kBlock);
    base_used_.resize(begin + kBlock, false);
    free_.resize(begin + kBlock, true);
    before_.resize(begin + kBlock);
    after_.resize(begin + kBlock);
    base_used_[0] = true;
    if (begin == 0) return;
    for (uint32_t place = begin; place < begin + kBlock; ++place) link(place);
    const uint32_t open = kOpenBlocks * kBlock;
    while (begin >= open && first_free_ < begin - open) unlink(first_free_);
  }

  // Labels the free places of a block such that no base leads to them: each base in use has a child
  // in its own block, so while a place is free a base is as well.
  void close(uint32_t block) {
    uint32_t unused = block;
    while (unused < block + kBlock && base_used_[unused]) ++unused;
    for (uint32_t place = block; place < block + kBlock; ++place)
      if (free_[place]) units_[place] |= (place ^ unused) & 255;
  }

  void link(uint32_t place) {
    before_[place] = last_free_;
    after_[place] = kNowhere;
    (last_free_ == kNowhere ? first_free_ : after_[last_free_]) = place;
    last_free_ = place;
  }

  void unlink(uint32_t place) {
    const uint32_t before = before_[place], after = after_[place];
    (before == kNowhere ? first_free_ : after_[before]) = after;
    (after == kNowhere ? last_free_ : before_[after]) = before;
    before_[place] = after_[place] = place;
  }

  // A place may be outside the list when its block is no longer open.
  void take(uint32_t place, uint8_t label) {
    if (before_[place] != place) unlink(place);
    free_[place] = false;
    units_[place] = label;
  }

  const std::vector<Entry> entries_;
  std::vector<uint64_t>& units_;
  std::priority_queue<Node> nodes_;
  std::vector<double> sums_;
  std::vector<uint8_t> bytes_;
  std::vector<bool> base_used_, free_;
  std::vector<uint32_t> before_, after_;  // a place outside the list points at itself
  uint32_t first_free_ = kNowhere, last_free_ = kNowhere;
};

DoubleArray::DoubleArray(const std::vector<Entry>& entries) {
  std::vector<Entry> sorted;
  sorted.reserve(entries.size());
  for (const Entry& entry : entries) {
    check(entry.id >= 0 && entry.id < (1 << kIdBits) - 1, "Tokenizer: id ", entry.id,
          " is not in [0, ", (1 << kIdBits) - 1, ")");
    if (!entry.text.empty()) sorted.push_back(entry);
    longest_ = std::max(longest_, entry.text.size());
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Entry& a, const Entry& b) { return a.text < b.text; });
  // Of equal texts the last: unique() keeps the first, so it runs from the back.
  const auto same = [](const Entry& a, const Entry& b) { return a.text == b.text; };
  const auto kept = std::unique(sorted.rbegin(), sorted.rend(), same).base();
  sorted.erase(sorted.begin(), kept);
  Builder(std::move(sorted), units_).build();
}

}  // namespace lowbit::tokenizers
