// The next pair to merge: the most frequent one, ties by a rule.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace lowbit::tokenizers {

// A heap has the candidates whose count is `floor_` or more. The others wait in a list for each
// count, where most of them stay for ever: a list becomes a heap when the heap before is empty.
//
// Counts fall while candidates wait. `Order` knows what they are now:
//   int64_t count(uint32_t candidate), uint64_t rank(uint32_t candidate)
//   bool ties(uint32_t a, uint32_t b): among equal counts and ranks, b comes first
template <class Order>
class MergeQueue {
 public:
  struct Entry {
    int64_t count;
    uint64_t rank;  // among equal counts the smaller one is first
    uint32_t candidate;
  };

  explicit MergeQueue(const Order& order) : order_(order), lists_(kLists, kEnd) {}

  void push(uint32_t candidate) {
    const int64_t count = order_.count(candidate);
    if (count <= 0) return;
    if (count < floor_) return link(candidate, count);
    heap_.push_back({count, order_.rank(candidate), candidate});
    std::push_heap(heap_.begin(), heap_.end(), after());
  }

  // The best candidate as it was when it was pushed; false when there is none.
  bool pop(Entry& entry) {
    while (heap_.empty())
      if (!refill()) return false;
    std::pop_heap(heap_.begin(), heap_.end(), after());
    entry = heap_.back();
    heap_.pop_back();
    return true;
  }

 private:
  static constexpr uint32_t kEnd = UINT32_MAX;
  static constexpr int64_t kLists = 1 << 14;

  auto after() const {
    return [this](const Entry& a, const Entry& b) {
      if (a.count != b.count) return a.count < b.count;
      if (a.rank != b.rank) return a.rank > b.rank;
      return order_.ties(a.candidate, b.candidate);
    };
  }
  void link(uint32_t candidate, int64_t count) {
    if (next_.size() <= candidate) next_.resize(candidate + candidate / 2 + 64);
    next_[candidate] = lists_[count];
    lists_[count] = candidate;
  }
  bool refill() {
    do {
      if (--floor_ <= 0) return false;
    } while (lists_[floor_] == kEnd);
    for (uint32_t at = lists_[floor_]; at != kEnd;) {
      const uint32_t candidate = at;
      at = next_[candidate];
      const int64_t count = order_.count(candidate);
      if (count >= floor_) {
        heap_.push_back({count, order_.rank(candidate), candidate});
      } else if (count > 0) {
        link(candidate, count);
      }
    }
    std::make_heap(heap_.begin(), heap_.end(), after());
    return true;
  }

  const Order& order_;
  std::vector<Entry> heap_;
  std::vector<uint32_t> lists_;  // by count, the first candidate
  std::vector<uint32_t> next_;   // by candidate, the next in its list
  int64_t floor_ = kLists;
};

}  // namespace lowbit::tokenizers
