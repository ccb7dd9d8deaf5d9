// The strings of a vocabulary by number, and back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/word_key.hpp"

namespace lowbit::tokenizers {

class TokenIndex {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  explicit TokenIndex(const std::vector<std::string>& tokens);  // numbered in order

  // The last token equal to `text`, or kNone.
  uint32_t find(std::string_view text) const {
    const uint64_t hash = hash_bytes(text);
    for (size_t at = hash >> shift_;; at = (at + 1) & mask_) {
      const Slot slot = slots_[at];
      if (slot.number == kNone) return kNone;
      if (slot.tag == static_cast<uint32_t>(hash >> 16) && this->text(slot.number) == text)
        return slot.number;
    }
  }
  std::string_view text(uint32_t number) const {
    const uint32_t begin = begins_[number];
    return {bytes_.data() + begin, begins_[number + 1] - begin};
  }
  size_t size() const { return begins_.size() - 1; }
  bool has_equal_tokens() const { return equal_; }

 private:
  struct Slot {
    uint32_t number = kNone;
    uint32_t tag = 0;  // other bits of the hash, so that other strings are seldom compared
  };
  std::string bytes_;
  std::vector<uint32_t> begins_;
  std::vector<Slot> slots_;  // open addressing, at most half full
  int shift_;
  size_t mask_;
  bool equal_ = false;
};

}  // namespace lowbit::tokenizers
