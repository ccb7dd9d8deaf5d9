#include "tokenizers/training/word_counts.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

#include "core/error.hpp"

namespace lowbit::tokenizers {
namespace {

uint64_t mix(uint64_t low, uint64_t high, uint64_t length) {
  uint64_t hash = (low ^ length << 56) * 0x9E3779B97F4A7C15u;
  hash = (hash ^ hash >> 32 ^ high) * 0xD6E8FEB86659FD93u;
  return hash ^ hash >> 32;
}

// Sixteen bytes of ones and sixteen of zeros: those from 16 - n on mask away what follows a word of
// n bytes.
constexpr struct Mask {
  unsigned char bytes[32] = {};
  constexpr Mask() {
    for (int i = 0; i < 16; ++i) bytes[i] = 0xff;
  }
} kMask;

}  // namespace

WordCounts::Key WordCounts::load(std::string_view text, Span span) {
  const uint32_t length = span.end - span.begin;
  Key key{0, 0}, mask;
  if (length > kInline) return key;
  if (text.size() - span.begin < kInline) {
    std::memcpy(&key, text.data() + span.begin, length);
    return key;
  }
  std::memcpy(&key, text.data() + span.begin, kInline);
  std::memcpy(&mask, kMask.bytes + kInline - length, kInline);
  return {key.low & mask.low, key.high & mask.high};
}

// A block at a time, so that the slots of its words are fetched together.
void WordCounts::add(std::string_view text, std::span<const Span> spans) {
  constexpr size_t kBlock = 16;
  Key keys[kBlock];
  uint64_t hashes[kBlock];
  for (size_t begin = 0; begin < spans.size(); begin += kBlock) {
    const size_t count = std::min(kBlock, spans.size() - begin);
    for (size_t i = 0; i < count; ++i) {
      const Span span = spans[begin + i];
      keys[i] = load(text, span);
      hashes[i] = mix(keys[i].low, keys[i].high, span.end - span.begin);
      __builtin_prefetch(&slots_[hashes[i] & (slots_.size() - 1)], 1);
    }
    for (size_t i = 0; i < count; ++i) {
      const Span span = spans[begin + i];
      const uint32_t length = span.end - span.begin;
      if (length > kInline) {
        add_long(text.substr(span.begin, length), 1);
      } else {
        add_short(keys[i], hashes[i], length, 1);
      }
    }
  }
}

void WordCounts::add(std::string_view word, int64_t count) {
  check(count >= 0, "WordCounts: the count of a word is ", count, "; counts are 0 or more");
  if (count == 0 || word.empty()) return;
  if (word.size() > kInline) return add_long(word, count);
  const auto length = static_cast<uint32_t>(word.size());
  const Key key = load(word, {0, length});
  add_short(key, mix(key.low, key.high, length), length, count);
}

void WordCounts::add_short(Key key, uint64_t hash, uint32_t length, int64_t count) {
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    Slot& slot = slots_[at];
    if (slot.count == 0) return occupy(slot, key, length, count);
    if (slot.length == length && std::memcmp(slot.bytes, &key, kInline) == 0) {
      slot.count += count;
      return;
    }
  }
}

void WordCounts::add_long(std::string_view word, int64_t count) {
  check(word.size() <= UINT32_MAX, "WordCounts: a word of ", word.size(),
        " bytes; words have less than 4 GB: split the text");
  const auto length = static_cast<uint32_t>(word.size());
  const size_t mask = slots_.size() - 1;
  const uint64_t hash = std::hash<std::string_view>()(word);
  for (size_t at = mix(hash, 0, length) & mask;; at = (at + 1) & mask) {
    Slot& slot = slots_[at];
    if (slot.count == 0) {
      const Key key{hash, arena_.size()};
      arena_.insert(arena_.end(), word.begin(), word.end());
      return occupy(slot, key, length, count);
    }
    Key key;
    std::memcpy(&key, slot.bytes, kInline);
    if (slot.length == length && key.low == hash &&
        std::memcmp(arena_.data() + key.high, word.data(), length) == 0) {
      slot.count += count;
      return;
    }
  }
}

void WordCounts::occupy(Slot& slot, Key key, uint32_t length, int64_t count) {
  std::memcpy(slot.bytes, &key, kInline);
  slot.count = count;
  slot.length = length;
  slot.order = static_cast<uint32_t>(size_);
  if (++size_ * 2 > slots_.size()) grow();
}

void WordCounts::grow() {
  check(size_ <= UINT32_MAX / 2, "WordCounts: more than ", UINT32_MAX / 2, " distinct words");
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.count == 0) continue;
    Key key;
    std::memcpy(&key, slot.bytes, kInline);
    const uint64_t high = slot.length > kInline ? 0 : key.high;
    size_t at = mix(key.low, high, slot.length) & mask;
    while (slots_[at].count != 0) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

void WordCounts::merge(const WordCounts& later) {
  for (const CountedWord& word : later.words()) add(word.bytes, word.count);
}

std::vector<CountedWord> WordCounts::words() const {
  std::vector<CountedWord> words(size_);
  for (const Slot& slot : slots_) {
    if (slot.count == 0) continue;
    const char* bytes = slot.bytes;
    if (slot.length > kInline) {
      Key key;
      std::memcpy(&key, slot.bytes, kInline);
      bytes = arena_.data() + key.high;
    }
    words[slot.order] = {{bytes, slot.length}, slot.count};
  }
  return words;
}

}  // namespace lowbit::tokenizers
