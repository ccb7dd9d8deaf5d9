// Tokens that are words as they stand, by their text: most words are one, and they take one look.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizers/word_key.hpp"

namespace lowbit::tokenizers {

class WholeWords {
 public:
  static constexpr size_t kMost = (size_t{1} << 21) - 2;

  explicit WholeWords(size_t count)
      : slots_(std::bit_ceil(2 * count + 2)), shift_(64 - std::countr_zero(slots_.size())) {
    entries_.reserve(count + 1);
    entries_.push_back({});
  }

  // At most `count` words and kMost, none of them empty or longer than a key.
  void insert(std::string_view word, int32_t id) {
    const WordKey key = key_of(word);
    const uint32_t tag = tag_of(key.hash());
    size_t at = key.hash() >> shift_;
    while (slots_[at] != 0) at = next(at);
    slots_[at] = tag | static_cast<uint32_t>(entries_.size());
    entries_.push_back({key, id});
  }

  // The id, or -1.
  int32_t find(std::string_view word) const {
    const WordKey key = key_of(word);
    const uint64_t hash = key.hash();
    for (size_t at = hash >> shift_; slots_[at] != 0; at = next(at)) {
      if ((slots_[at] & kTag) != tag_of(hash)) continue;
      const Entry& entry = entries_[slots_[at] & ~kTag];
      if (entry.key == key) return entry.id;
    }
    return -1;
  }

 private:
  struct Entry {
    WordKey key;
    int32_t id = -1;
  };
  static constexpr uint32_t kTag = 0xffe00000;

  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 8) & kTag; }
  size_t next(size_t at) const { return (at + 1) & (slots_.size() - 1); }

  // Open addressing, at most half full: the number of an entry, and 11 bits of the hash that spare
  // a look at most others. 0 is free.
  std::vector<uint32_t> slots_;
  int shift_;
  std::vector<Entry> entries_;
};

}  // namespace lowbit::tokenizers
