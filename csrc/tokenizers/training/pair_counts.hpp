// How often each pair of neighbouring symbols occurs.
#pragma once

#include <cstdint>
#include <vector>

namespace lowbit::tokenizers {

// A left and a right symbol in one number, ordered as the two are.
using PairKey = uint64_t;

inline PairKey pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}
inline int32_t left_of(PairKey key) { return static_cast<int32_t>(key >> 32); }
inline int32_t right_of(PairKey key) { return static_cast<int32_t>(key); }

struct PairCount {
  PairKey key;
  int64_t count = 0;
  uint64_t cursor = 0;  // used while occurrences are sorted by pair
};

// Pairs are numbered as they are met; a flat table with open addressing finds the number.
class PairCounts {
 public:
  PairCounts() : slots_(1 << 12) {}

  PairCount& operator[](uint32_t pair) { return pairs_[pair]; }
  const PairCount& operator[](uint32_t pair) const { return pairs_[pair]; }

  uint32_t find_or_add(PairKey key) {
    size_t at = place(key);
    while (slots_[at].key != key) {
      if (slots_[at].key == kFree) return add(at, key);
      at = (at + 1) & (slots_.size() - 1);
    }
    return slots_[at].pair;
  }

  void prefetch(PairKey key) const { __builtin_prefetch(&slots_[place(key)]); }

 private:
  static constexpr PairKey kFree = ~PairKey{0};  // symbols are not negative
  struct Slot {
    PairKey key = kFree;
    uint32_t pair = 0;
  };

  size_t place(PairKey key) const {
    const uint64_t hash = key * 0x9E3779B97F4A7C15u;
    return (hash ^ hash >> 32) & (slots_.size() - 1);
  }
  uint32_t add(size_t at, PairKey key) {
    const auto pair = static_cast<uint32_t>(pairs_.size());
    slots_[at] = {key, pair};
    pairs_.push_back({key});
    if (pairs_.size() * 2 > slots_.size()) grow();
    return pair;
  }
  void grow() {
    slots_.assign(slots_.size() * 4, Slot());
    for (uint32_t pair = 0; pair < pairs_.size(); ++pair) {
      size_t at = place(pairs_[pair].key);
      while (slots_[at].key != kFree) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = {pairs_[pair].key, pair};
    }
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  std::vector<PairCount> pairs_;
};

}  // namespace lowbit::tokenizers
