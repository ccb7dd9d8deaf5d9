// Which thread of a batch takes which part of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace lowbit::tokenizers {

// Every thread has a range of parts and takes them from its front; one that has none left takes
// from the back of another's. So what a thread does is in order, but for what it helps others with.
class PartRanges {
 public:
  static constexpr int64_t kNone = -1;

  PartRanges(int64_t threads, int64_t parts) : ranges_(static_cast<size_t>(threads)) {
    for (int64_t i = 0; i < threads; ++i)
      ranges_[static_cast<size_t>(i)].ends = pack(parts * i / threads, parts * (i + 1) / threads);
  }

  int64_t next(int64_t thread) {
    const auto count = static_cast<int64_t>(ranges_.size());
    for (int64_t i = 0; i < count; ++i) {
      std::atomic<uint64_t>& ends = ranges_[static_cast<size_t>((thread + i) % count)].ends;
      uint64_t now = ends.load();
      while (begin_of(now) < end_of(now)) {
        const int64_t begin = begin_of(now) + (i == 0), end = end_of(now) - (i != 0);
        if (ends.compare_exchange_weak(now, pack(begin, end))) return i == 0 ? begin - 1 : end;
      }
    }
    return kNone;
  }

 private:
  struct alignas(64) Range {
    std::atomic<uint64_t> ends;  // begin and end, 32 bits each, as both change at once
  };

  static uint64_t pack(int64_t begin, int64_t end) {
    return static_cast<uint64_t>(begin) << 32 | static_cast<uint64_t>(end);
  }
  static int64_t begin_of(uint64_t ends) { return static_cast<int64_t>(ends >> 32); }
  static int64_t end_of(uint64_t ends) { return static_cast<int64_t>(ends & UINT32_MAX); }

  std::vector<Range> ranges_;
};

}  // namespace lowbit::tokenizers
