// Pairs of small numbers to a small number: 8 bytes an entry, in one flat table.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lowbit::tokenizers {

class PairTable {
 public:
  static constexpr int kBits = 21;                       // of each of the three
  static constexpr uint32_t kNone = (1u << kBits) - 1;  // larger than any of them

  PairTable() { clear(16); }

  uint32_t find(uint32_t left, uint32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t at = start(key);; at = (at + 1) & mask_) {
      const uint64_t entry = entries_[at];
      if (entry >> kBits == key || entry == kFree) return entry & kNone;
    }
  }

  void prefetch(uint32_t left, uint32_t right) const {
    __builtin_prefetch(&entries_[start(key_of(left, right))]);
  }

  // The last value of a pair wins.
  void insert(uint32_t left, uint32_t right, uint32_t value) {
    if (2 * (count_ + 1) > entries_.size()) reserve(entries_.size());
    const uint64_t key = key_of(left, right);
    size_t at = start(key);
    while (entries_[at] != kFree && entries_[at] >> kBits != key) at = (at + 1) & mask_;
    count_ += entries_[at] == kFree;
    entries_[at] = key << kBits | value;
  }

  void reserve(size_t count) {
    const size_t size = std::bit_ceil(2 * count);
    if (size <= entries_.size()) return;
    const std::vector<uint64_t> old = std::move(entries_);
    clear(size);
    for (const uint64_t entry : old)
      if (entry != kFree)
        insert(entry >> (2 * kBits) & kNone, entry >> kBits & kNone, entry & kNone);
  }

  size_t size() const { return count_; }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};  // reads as the value kNone

  static uint64_t key_of(uint32_t left, uint32_t right) { return uint64_t{left} << kBits | right; }
  size_t start(uint64_t key) const { return key * 0x9E3779B97F4A7C15u >> shift_; }
  void clear(size_t size) {
    entries_.assign(size, kFree);
    mask_ = size - 1;
    shift_ = 64 - std::countr_zero(size);
    count_ = 0;
  }

  std::vector<uint64_t> entries_;  // open addressing, at most half full
  size_t mask_;
  int shift_;
  size_t count_;
};

}  // namespace lowbit::tokenizers
