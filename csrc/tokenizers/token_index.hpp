// The strings of a vocabulary by number, and back.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizers/string_table.hpp"
#include "tokenizers/word_key.hpp"

namespace lowbit::tokenizers {

class TokenIndex {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  explicit TokenIndex(StringTable tokens);  // numbered in order

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
  std::string_view text(uint32_t number) const { return tokens_[number]; }
  size_t size() const { return tokens_.size(); }
  bool has_equal_tokens() const { return equal_; }
  const StringTable& tokens() const { return tokens_; }

 private:
  struct Slot {
    uint32_t number = kNone;
    uint32_t tag = 0;  // other bits of the hash, so that other strings are seldom compared
  };
  StringTable tokens_;
  std::vector<Slot> slots_;  // open addressing, at most half full
  int shift_;
  size_t mask_;
  bool equal_ = false;
};

}  // namespace lowbit::tokenizers
