// How often each word of a corpus occurs.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizers/pattern.hpp"

namespace lowbit::tokenizers {

struct CountedWord {
  std::string_view bytes;
  int64_t count;
};

// A flat hash table of 32 bytes per slot: words of up to 16 bytes lie in their slot, longer ones in
// an arena. Words are numbered in the order of their first appearance, so that tables of successive
// parts of a text, merged in that order, are the table of the whole text however it was cut.
class WordCounts {
 public:
  WordCounts() : slots_(1024) {}

  void add(std::string_view text, std::span<const Span> spans);
  void add(std::string_view word, int64_t count);
  void merge(const WordCounts& later);

  size_t size() const { return size_; }
  size_t bytes() const { return slots_.size() * sizeof(Slot) + arena_.capacity(); }

  // In order of first appearance; valid until the next addition.
  std::vector<CountedWord> words() const;

 private:
  static constexpr size_t kInline = 16;

  struct Key {
    uint64_t low, high;  // the bytes, zeros behind them; or a hash and the place in the arena
  };
  struct Slot {
    char bytes[kInline];
    int64_t count = 0;  // 0: free
    uint32_t length = 0, order = 0;
  };

  static Key load(std::string_view text, Span span);  // of a word that fits into a slot
  void add_short(Key key, uint64_t hash, uint32_t length, int64_t count);
  void add_long(std::string_view word, int64_t count);
  void occupy(Slot& slot, Key key, uint32_t length, int64_t count);
  void grow();

  std::vector<Slot> slots_;  // a power of two, at most half full
  std::vector<char> arena_;
  size_t size_ = 0;
};

}  // namespace lowbit::tokenizers
