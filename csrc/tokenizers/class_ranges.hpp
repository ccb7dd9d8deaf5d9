// Classes of code points from a table of where each begins.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace lowbit::tokenizers {

// The table holds code point << 8 | class, in order, from 0 on. Remembers the last range it met, as
// texts stay within few of them.
class ClassRanges {
 public:
  explicit ClassRanges(std::span<const uint32_t> starts) : starts_(starts) {}

  uint8_t operator()(uint32_t point) {
    if (point < begin_ || point >= end_) {
      const auto behind = std::upper_bound(starts_.begin(), starts_.end(), point << 8 | 255);
      begin_ = behind[-1] >> 8;
      end_ = behind == starts_.end() ? 0x110000 : *behind >> 8;
      class_ = static_cast<uint8_t>(behind[-1] & 255);
    }
    return class_;
  }

 private:
  std::span<const uint32_t> starts_;
  uint32_t begin_ = 0, end_ = 0;  // of the range met last
  uint8_t class_ = 0;
};

}  // namespace lowbit::tokenizers
