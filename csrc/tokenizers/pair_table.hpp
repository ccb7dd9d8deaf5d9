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

  PairTable() { clear(4); }

  // All places of a bucket are looked at, since where a search ends is hard to foresee.
  uint32_t find(uint32_t left, uint32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t at = start(key);; at = (at + 1) & mask_) {
      const Bucket& bucket = buckets_[at];
      uint64_t found = kFree;
      for (const uint64_t entry : bucket.entries) found = entry >> kBits == key ? entry : found;
      if ((found != kFree) | (bucket.entries[kPlaces - 1] == kFree)) return found & kNone;
    }
  }

  void prefetch(uint32_t left, uint32_t right) const {
    __builtin_prefetch(&buckets_[start(key_of(left, right))]);
  }

  // The last value of a pair wins.
  void insert(uint32_t left, uint32_t right, uint32_t value) {
    if (2 * (count_ + 1) > kPlaces * buckets_.size()) reserve(kPlaces * buckets_.size());
    const uint64_t key = key_of(left, right);
    for (size_t at = start(key);; at = (at + 1) & mask_)
      for (uint64_t& entry : buckets_[at].entries) {
        if (entry != kFree && entry >> kBits != key) continue;
        count_ += entry == kFree;
        entry = key << kBits | value;
        return;
      }
  }

  void reserve(size_t count) {
    const size_t size = std::bit_ceil(2 * count) / kPlaces;
    if (size <= buckets_.size()) return;
    const std::vector<Bucket> old = std::move(buckets_);
    clear(size);
    for (const Bucket& bucket : old)
      for (const uint64_t entry : bucket.entries)
        if (entry != kFree)
          insert(entry >> (2 * kBits) & kNone, entry >> kBits & kNone, entry & kNone);
  }

  size_t size() const { return count_; }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};  // reads as the value kNone
  static constexpr size_t kPlaces = 4;
  struct alignas(32) Bucket {
    uint64_t entries[kPlaces] = {kFree, kFree, kFree, kFree};  // from the front
  };

  static uint64_t key_of(uint32_t left, uint32_t right) { return uint64_t{left} << kBits | right; }
  size_t start(uint64_t key) const { return key * 0x9E3779B97F4A7C15u >> shift_; }
  void clear(size_t size) {
    buckets_.assign(size, {});
    mask_ = size - 1;
    shift_ = 64 - std::countr_zero(size);
    count_ = 0;
  }

  std::vector<Bucket> buckets_;  // open addressing, at most half full
  size_t mask_;
  int shift_;
  size_t count_;
};

}  // namespace lowbit::tokenizers
