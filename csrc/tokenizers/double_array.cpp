#include "tokenizers/double_array.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <queue>

#include "core/error.hpp"

namespace lowbit::tokenizers {

// Places the children of the heaviest node first, so that what most searches visit lies close
// together, in the first block of 256 places where they fit. A block that refuses too often is too
// full to be worth the search. Free places are bits, so all bases of a block are tried at once.
class DoubleArray::Builder {
 public:
  Builder(std::vector<Entry> entries, std::vector<uint64_t>& units)
      : entries_(std::move(entries)), units_(units) {}

  void build() {
    grow();
    remove(blocks_[0].unused_bases, 0);
    sums_.push_back(0);
    for (const Entry& entry : entries_) sums_.push_back(sums_.back() + entry.weight);
    for (size_t i = 0; i < entries_.size(); ++i)
      shared_.push_back(i == 0 ? 0 : shared_length(entries_[i - 1].text, entries_[i].text));
    if (!entries_.empty()) nodes_.push({0, 0, static_cast<uint32_t>(entries_.size()), 0, 0});
    while (!nodes_.empty()) {
      Node node = nodes_.top();
      nodes_.pop();
      while (place_children(node)) continue;
    }
    for (size_t block = 0; block < blocks_.size(); ++block) close(block);
  }

 private:
  // The entries begin to end share their first `depth` bytes, which lead to the node.
  struct Node {
    uint32_t index, begin, end, depth;
    double weight;
    bool operator<(const Node& other) const { return weight < other.weight; }
  };
  struct Child {
    uint8_t label;
    uint32_t begin, end;
  };
  static constexpr uint32_t kBlock = 256;
  static constexpr uint32_t kPatience = 16;
  static constexpr uint32_t kLargest = 1u << 31;

  using Bits = std::array<uint64_t, kBlock / 64>;
  static constexpr Bits kAll = {~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}};
  struct Block {
    Bits free = kAll, unused_bases = kAll;
    uint32_t refused = 0;  // nodes whose children did not fit
  };

  static uint32_t shared_length(std::string_view a, std::string_view b) {
    return static_cast<uint32_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                                 a.begin());
  }

  // An only child comes next: it becomes the node, and the result true.
  bool place_children(Node& node) {
    find_children(node);
    const uint32_t base = find_base();
    remove(blocks_[base / kBlock].unused_bases, base % kBlock);
    units_[node.index] |= uint64_t{base} << 32;
    const uint32_t depth = node.depth + 1;
    for (Child& child : children_) {
      const uint32_t index = base ^ child.label;
      remove(blocks_[index / kBlock].free, index % kBlock);
      units_[index] = child.label;
      if (entries_[child.begin].text.size() == depth)
        units_[index] |= (static_cast<uint64_t>(entries_[child.begin++].id) + 1) << 8;
      if (child.begin == child.end) continue;
      const double weight = sums_[child.end] - sums_[child.begin];
      node = {index, child.begin, child.end, depth, weight};
      if (children_.size() > 1) nodes_.push(node);
    }
    return children_.size() == 1 && children_[0].begin < children_[0].end;
  }

  // Where entries share no more than what leads to the node, another child begins.
  void find_children(const Node& node) {
    children_.clear();
    for (uint32_t i = node.begin; i < node.end; ++i)
      if (i == node.begin || shared_[i] == node.depth) {
        if (i > node.begin) children_.back().end = i;
        children_.push_back({static_cast<uint8_t>(entries_[i].text[node.depth]), i, node.end});
      }
  }

  uint32_t find_base() {
    for (size_t i = 0; i < open_.size(); ++i) {
      const uint32_t block = open_[i];
      Bits fitting = blocks_[block].unused_bases;
      for (size_t k = 0; k < children_.size() && any(fitting); ++k)
        keep_fitting(blocks_[block].free, children_[k].label, fitting);
      for (uint32_t word = 0; word < fitting.size(); ++word)
        if (fitting[word] != 0)
          return block * kBlock + word * 64 +
                 static_cast<uint32_t>(std::countr_zero(fitting[word]));
      if (++blocks_[block].refused == kPatience)
        open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i--));
    }
    grow();
    open_.push_back(static_cast<uint32_t>(blocks_.size()) - 1);
    return open_.back() * kBlock;
  }

  static bool any(const Bits& bits) { return (bits[0] | bits[1] | bits[2] | bits[3]) != 0; }

  // Leaves the bases whose child over `label` is free: bit i of them is bit i ^ label of `free`.
  static void keep_fitting(const Bits& free, uint8_t label, Bits& bases) {
    constexpr uint64_t kLow[] = {0x5555555555555555, 0x3333333333333333, 0x0f0f0f0f0f0f0f0f,
                                 0x00ff00ff00ff00ff, 0x0000ffff0000ffff, 0x00000000ffffffff};
    for (size_t word = 0; word < 4; ++word) {
      uint64_t bits = free[word ^ label >> 6];
      for (int i = 0; i < 6; ++i)
        if (label >> i & 1) bits = (bits & kLow[i]) << (1 << i) | (bits >> (1 << i) & kLow[i]);
      bases[word] &= bits;
    }
  }

  // The first block holds the root alone; a base of 0, which leads there, means no children.
  void grow() {
    check(units_.size() < kLargest, "Tokenizer: the vocabulary has more than ", kLargest,
          " prefixes");
    units_.resize(units_.size() + kBlock);
    blocks_.emplace_back();
  }

  // Labels the free places of a block such that no base leads to them: each base in use has a child
  // in its own block, so while a place is free a base is as well.
  void close(size_t block) {
    uint32_t unused = 0;
    while (unused < kBlock && !holds(blocks_[block].unused_bases, unused)) ++unused;
    for (uint32_t place = 0; place < kBlock; ++place)
      if (holds(blocks_[block].free, place)) units_[block * kBlock + place] |= place ^ unused;
  }

  static bool holds(const Bits& bits, uint32_t place) {
    return (bits[place / 64] >> place % 64 & 1) != 0;
  }
  static void remove(Bits& bits, uint32_t place) {
    bits[place / 64] &= ~(uint64_t{1} << place % 64);
  }

  const std::vector<Entry> entries_;
  std::vector<uint64_t>& units_;
  std::priority_queue<Node> nodes_;
  std::vector<double> sums_;
  std::vector<uint32_t> shared_;  // bytes that an entry and the one before both begin with
  std::vector<Child> children_;   // of the node that is placed now
  std::vector<Block> blocks_;
  std::vector<uint32_t> open_;  // blocks that are searched, in their order
};

namespace {

// The first bytes of a text as a number that is ordered as they are.
uint64_t first_bytes(std::string_view text) {
  uint64_t number = 0;
  for (size_t i = 0; i < sizeof number; ++i)
    number = number << 8 | (i < text.size() ? static_cast<uint8_t>(text[i]) : 0);
  return number;
}

// By their texts, and of those with the same text only the last.
std::vector<DoubleArray::Entry> sorted(const std::vector<DoubleArray::Entry>& entries) {
  struct Key {
    uint64_t first;
    const DoubleArray::Entry* entry;
  };
  std::vector<Key> keys;
  for (const DoubleArray::Entry& entry : entries)
    if (!entry.text.empty()) keys.push_back({first_bytes(entry.text), &entry});
  std::sort(keys.begin(), keys.end(), [](const Key& a, const Key& b) {
    if (a.first != b.first) return a.first < b.first;
    const int order = a.entry->text.compare(b.entry->text);
    return order != 0 ? order < 0 : a.entry < b.entry;
  });
  std::vector<DoubleArray::Entry> sorted;
  for (const Key& key : keys) {
    if (!sorted.empty() && sorted.back().text == key.entry->text) sorted.pop_back();
    sorted.push_back(*key.entry);
  }
  return sorted;
}

}  // namespace

DoubleArray::DoubleArray(const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    check(entry.id >= 0 && entry.id < (1 << kIdBits) - 1, "Tokenizer: id ", entry.id,
          " is not in [0, ", (1 << kIdBits) - 1, ")");
    longest_ = std::max(longest_, entry.text.size());
  }
  Builder(sorted(entries), units_).build();
}

}  // namespace lowbit::tokenizers
