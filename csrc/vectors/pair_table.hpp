// How often pairs of words stand near each other: a hash table of sums.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/memory.hpp"

namespace lowbit::vectors {

// Counts are whole numbers of 2^-32, so that sums do not depend on their order.
constexpr double kCountUnit = 1.0 / 4294967296.0;

struct PairCount {
  uint64_t pair;  // row << 32 | column
  uint64_t count;

  int32_t row() const { return static_cast<int32_t>(pair >> 32); }
  int32_t column() const { return static_cast<int32_t>(pair & 0xFFFFFFFF); }
};

class PairTable {
 public:
  // Of `most` slots at most, a power of two.
  explicit PairTable(int64_t most) : most_(most) { reset(std::min(most, kFirst)); }

  // `room` pairs may be added before full() is asked again.
  static constexpr int64_t kRoom = 4096;
  static constexpr int64_t kFewest = 4 * kRoom;

  void add(uint64_t pair, uint64_t count) {
    waiting_[waits_++] = {pair, count};
    __builtin_prefetch(slots_.get() + slot_of(pair), 1);
    if (waits_ == kWaiting) flush();
  }
  // Grows if it must and may; whether it is full after all.
  bool full() {
    flush();
    if (used_ + kRoom <= capacity_ / 4 * 3) return false;
    if (capacity_ == most_) return true;
    grow();
    return false;
  }
  int64_t used() {
    flush();
    return used_;
  }
  template <class Use>
  void for_each(Use&& use) {
    flush();
    for (int64_t i = 0; i < capacity_; ++i)
      if (slots_[i].pair != kFree) use(slots_[i]);
  }
  // Forgets everything, and gives its memory back.
  void clear() {
    slots_.reset();
    reset(std::min(most_, kFirst));
  }
  // Forgets everything, but keeps its memory.
  void empty() { reset(capacity_, std::move(slots_)); }

 private:
  static constexpr int64_t kFirst = 1 << 16;
  static constexpr int64_t kWaiting = 16;  // pairs whose slots are being fetched
  static constexpr uint64_t kFree = ~uint64_t{0};

  int64_t slot_of(uint64_t pair) const {
    return static_cast<int64_t>(((pair ^ pair >> 29) * 0x9E3779B97F4A7C15u) >> shift_);
  }
  void reset(int64_t capacity, Memory<PairCount> slots = nullptr) {
    capacity_ = capacity, used_ = 0, waits_ = 0;
    shift_ = 64 - __builtin_ctzll(static_cast<uint64_t>(capacity));
    slots_ = slots ? std::move(slots) : take<PairCount>(capacity);
    std::fill_n(slots_.get(), capacity, PairCount{kFree, 0});
  }
  void flush() {
    for (int64_t i = 0; i < waits_; ++i) place(waiting_[i]);
    waits_ = 0;
  }
  void place(const PairCount& more) {
    for (int64_t at = slot_of(more.pair);; at = (at + 1) & (capacity_ - 1)) {
      PairCount& slot = slots_[at];
      if (slot.pair == more.pair) {
        slot.count += more.count;
        return;
      }
      if (slot.pair == kFree) {
        slot = more;
        ++used_;
        return;
      }
    }
  }
  void grow() {
    const Memory<PairCount> old = std::move(slots_);
    const int64_t capacity = capacity_;
    reset(2 * capacity);
    for (int64_t i = 0; i < capacity; ++i)
      if (old[i].pair != kFree) place(old[i]);
  }

  const int64_t most_;
  int64_t capacity_ = 0, used_ = 0, waits_ = 0;
  int shift_ = 0;
  Memory<PairCount> slots_;
  PairCount waiting_[kWaiting];
};

}  // namespace lowbit::vectors
