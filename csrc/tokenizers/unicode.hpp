// Code points: reading them from UTF-8, and what BERT's text preparation does to them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lowbit::tokenizers {

// U+2581, which stands for a space in the tokens of sentencepiece.
inline constexpr std::string_view kMetaspace = "\xe2\x96\x81";

#include "tokenizers/tables/bert_flags.inc"

// The flags of a code point, from the tables observed through the reference tokenizer.
uint8_t bert_flags(uint32_t point);
inline bool is_space(uint32_t point) { return bert_flags(point) & kWhitespace; }

// \w round added tokens and in Whitespace, which is not that of the engine behind expressions.
bool is_word_character(uint32_t point);
uint8_t combining_class(uint32_t point);            // canonical combining class
std::span<const uint32_t> lowercase(uint32_t point);  // empty: unchanged

// The full canonical decomposition; `buffer` is used for Hangul. Empty: unchanged.
std::span<const uint32_t> decompose(uint32_t point, uint32_t (&buffer)[3]);

// The code point at `position`, which is moved behind it. The text is valid UTF-8.
inline uint32_t next_point(std::string_view text, size_t& position) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i])); };
  const uint32_t first = byte(position);
  if (first < 0x80) return position += 1, first;
  if (first < 0xe0) {
    position += 2;
    return (first & 0x1f) << 6 | (byte(position - 1) & 0x3f);
  }
  if (first < 0xf0) {
    position += 3;
    return (first & 0x0f) << 12 | (byte(position - 2) & 0x3f) << 6 | (byte(position - 1) & 0x3f);
  }
  position += 4;
  return (first & 0x07) << 18 | (byte(position - 3) & 0x3f) << 12 |
         (byte(position - 2) & 0x3f) << 6 | (byte(position - 1) & 0x3f);
}

inline void append_utf8(std::string& out, uint32_t point) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xc0 | point >> 6), put(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    put(0xe0 | point >> 12), put(0x80 | (point >> 6 & 0x3f)), put(0x80 | (point & 0x3f));
  } else {
    put(0xf0 | point >> 18), put(0x80 | (point >> 12 & 0x3f));
    put(0x80 | (point >> 6 & 0x3f)), put(0x80 | (point & 0x3f));
  }
}

// Whether bytes are valid UTF-8: shortest forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view bytes);

inline bool starts_point(char byte) { return (static_cast<uint8_t>(byte) & 0xc0) != 0x80; }

}  // namespace lowbit::tokenizers
