#include "tokenizers/bpe_merges.hpp"

#include <algorithm>
#include <functional>

#include "core/random.hpp"

namespace lowbit::tokenizers {
namespace {

constexpr uint32_t kEnd = 0xffffffff;

// Parts as a doubly linked list; a part that was merged into the one before has next = itself.
struct Links {
  uint32_t previous, next;
};

class Heap {
 public:
  Heap(const Merges& merges, Part* parts, size_t count, const Dropout& dropout)
      : merges_(merges), parts_(parts), links_(count), dropout_(dropout) {
    for (uint32_t i = 0; i < count; ++i)
      links_[i] = {i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1};
    rank_parts(merges, parts, count);
    for (uint32_t i = 0; i < count; ++i)
      if (parts[i].rank != Merges::kNone) queue_.push_back(candidate(parts[i].rank, i));
    std::make_heap(queue_.begin(), queue_.end(), std::greater<>());
  }

  void run() {
    while (!queue_.empty()) {
      const uint64_t top = pop();
      if (dropout_.probability > 0 && draw() < dropout_.probability) {
        passed_over_.push_back(top);
        continue;
      }
      for (const uint64_t earlier : passed_over_) push(earlier);
      passed_over_.clear();
      merge(static_cast<uint32_t>(top >> 32), static_cast<uint32_t>(top));
    }
  }

  size_t compact() {
    size_t kept = 0;
    for (uint32_t i = 0; i < links_.size(); ++i)
      if (links_[i].next != i) parts_[kept++] = parts_[i];
    return kept;
  }

 private:
  static uint64_t candidate(uint32_t rank, uint32_t at) { return uint64_t{rank} << 32 | at; }
  void push(uint64_t entry) {
    queue_.push_back(entry);
    std::push_heap(queue_.begin(), queue_.end(), std::greater<>());
  }
  uint64_t pop() {
    std::pop_heap(queue_.begin(), queue_.end(), std::greater<>());
    const uint64_t top = queue_.back();
    queue_.pop_back();
    return top;
  }
  float draw() {
    const Philox block(dropout_.seed, drawn_++);
    return static_cast<float>(block.word[0] >> 8) * 0x1p-24f;
  }

  // A candidate is stale when its parts have changed. As in the reference it still counts when the
  // present pair makes the same token.
  bool stale(uint32_t rank, uint32_t at) const {
    const uint32_t next = links_[at].next;
    if (next == at || next == kEnd) return true;
    const uint32_t left = parts_[at].symbol, right = parts_[next].symbol;
    const uint32_t present = merges_.rank(left, right);
    if (present == rank || present == Merges::kNone) return present != rank;
    return merges_.merged(present, left, right) != merges_.merged(rank, Merges::kNone, 0);
  }

  void merge(uint32_t rank, uint32_t at) {
    if (stale(rank, at)) return;
    const uint32_t gone = links_[at].next;
    const uint32_t left = parts_[at].symbol, right = parts_[gone].symbol;
    parts_[at].symbol = merges_.merged(merges_.rank(left, right), left, right);
    parts_[at].end = parts_[gone].end;
    const uint32_t next = links_[at].next = links_[gone].next;
    links_[gone].next = gone;
    if (next != kEnd) links_[next].previous = at;
    if (links_[at].previous != kEnd) consider(links_[at].previous, at);
    if (next != kEnd) consider(at, next);
  }

  void consider(uint32_t at, uint32_t next) {
    const uint32_t rank = merges_.rank(parts_[at].symbol, parts_[next].symbol);
    if (rank != Merges::kNone) push(candidate(rank, at));
  }

  const Merges& merges_;
  Part* parts_;
  std::vector<Links> links_;
  std::vector<uint64_t> queue_;  // rank and place, lowest first
  std::vector<uint64_t> passed_over_;
  Dropout dropout_;
  uint64_t drawn_ = 0;
};

}  // namespace

size_t merge_by_heap(const Merges& merges, Part* parts, size_t count, const Dropout& dropout) {
  Heap heap(merges, parts, count, dropout);
  heap.run();
  return heap.compact();
}

}  // namespace lowbit::tokenizers
