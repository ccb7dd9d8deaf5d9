// Words of up to 15 bytes as two numbers: equal keys are equal words, so that looking one up
// compares two registers.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace lowbit::tokenizers {

static_assert(std::endian::native == std::endian::little, "keys are read as little-endian numbers");

struct WordKey {
  uint64_t low = 0;
  uint64_t high = 0;  // the top byte holds the length: 0 for no word

  static constexpr size_t kMaxBytes = 15;
  // In place of the upper half for longer words, whose hash is the lower one: bytes of a word of no
  // length, which no other key has.
  static constexpr uint64_t kLong = 1;

  bool operator==(const WordKey&) const = default;
  // Bits at the top are the good ones.
  uint64_t hash() const {
    return ((low * 0x9E3779B97F4A7C15u) ^ high) * 0xD6E8FEB86659FD93u;
  }
};

template <class Number>
inline Number load(const char* bytes) {
  Number number;
  std::memcpy(&number, bytes, sizeof(Number));
  return number;
}

// The key of a word after which at least 16 - length bytes may be read.
inline WordKey key_of_padded(const char* word, size_t length) {
  struct Masks {
    uint64_t low[16], high[16];
    constexpr Masks() : low{}, high{} {
      for (size_t i = 0; i < 16; ++i) {
        low[i] = i < 8 ? (uint64_t{1} << (8 * i)) - 1 : ~uint64_t{0};
        high[i] = i <= 8 ? 0 : (uint64_t{1} << (8 * (i - 8))) - 1;
      }
    }
  };
  static constexpr Masks masks;
  return {load<uint64_t>(word) & masks.low[length],
          (load<uint64_t>(word + 8) & masks.high[length]) | uint64_t{length} << 56};
}

// The same without reading behind the word.
inline WordKey key_of(std::string_view word) {
  const char* bytes = word.data();
  const size_t length = word.size();
  if (length >= 8) {
    // Shifted in two steps: one of 64 bits is not defined.
    const uint64_t tail = load<uint64_t>(bytes + length - 8) >> (8 * (15 - length)) >> 8;
    return {load<uint64_t>(bytes), tail | uint64_t{length} << 56};
  }
  uint64_t low = 0;
  if (length >= 4) {
    low = load<uint32_t>(bytes) | uint64_t{load<uint32_t>(bytes + length - 4)}
                                      << (8 * (length - 4));
  } else {
    for (size_t i = 0; i < length; ++i)
      low |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  }
  return {low, uint64_t{length} << 56};
}

// Of words of any length.
inline uint64_t hash_bytes(std::string_view word) {
  if (word.size() <= WordKey::kMaxBytes) return key_of(word).hash();
  uint64_t hash = word.size();
  const auto mix = [&](uint64_t part) {
    hash = (hash ^ part) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  };
  size_t at = 0;
  for (; at + 8 < word.size(); at += 8) mix(load<uint64_t>(word.data() + at));
  mix(load<uint64_t>(word.data() + word.size() - 8));  // may overlap the one before
  return hash * 0xD6E8FEB86659FD93u;
}

}  // namespace lowbit::tokenizers
