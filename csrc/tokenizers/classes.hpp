// The Unicode classes that regular expressions name, from tables observed through the reference
// tokenizer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/byte_masks.hpp"

namespace lowbit::tokenizers {

// Bits of a code point's class set, in the order of tools/make_class_tables.py. The first eight
// are all that the scanners of known expressions need, so that these work with bytes.
inline constexpr uint32_t kLetter = 1 << 0;
inline constexpr uint32_t kNumber = 1 << 1;
inline constexpr uint32_t kSpace = 1 << 2;
inline constexpr uint32_t kMark = 1 << 3;
inline constexpr uint32_t kUpper = 1 << 4;   // Lu and Lt
inline constexpr uint32_t kLower = 1 << 5;   // Ll
inline constexpr uint32_t kSymbol = 1 << 6;  // P and S
inline constexpr uint32_t kHan = 1 << 7;
inline constexpr uint32_t kUppercase = 1 << 8;
inline constexpr uint32_t kTitlecase = 1 << 9;
inline constexpr uint32_t kModifier = 1 << 10;
inline constexpr uint32_t kOtherLetter = 1 << 11;
inline constexpr uint32_t kPunctuationOnly = 1 << 12;
inline constexpr uint32_t kSymbolOnly = 1 << 13;
inline constexpr uint32_t kDecimal = 1 << 14;
inline constexpr uint32_t kWordCharacter = 1 << 15;
inline constexpr uint32_t kNumeric = 1 << 16;  // every code point with a numeric value

extern const uint16_t kClassPages[];  // one leaf for 64 code points
extern const uint8_t kClassLeaves[];
extern const uint32_t kClassSets[];
// The first eight bits of the sets: of all leaves, and of ASCII with 0 for bytes from 0x80.
inline constexpr size_t kLeafPoints = 26624;  // as tables/classes.inc has it
extern const std::array<uint8_t, kLeafPoints> kLeafClasses;
extern const std::array<uint8_t, 256> kAsciiClasses;
// The same as masks, for the kernel classify_points: by leaf, and by first byte of a code point.
extern const std::array<PointPage, kLeafPoints / 64> kPointPages;
extern const std::array<uint8_t, 256> kUniformLeads;

inline uint32_t class_set(uint32_t point) {
  return kClassSets[kClassLeaves[kClassPages[point >> 6] * 64 + (point & 63)]];
}

// Whether [\w] holds the code point: unlike \w alone, not the numbers of Latin-1 beyond ASCII.
inline bool is_bracket_word(uint32_t point) {
  const uint32_t set = class_set(point);
  return (set & kWordCharacter) && !((set & kNumber) && point >= 0x80 && point < 0x100);
}

// A code point's first eight bits and its length in bytes.
struct PointClass {
  uint8_t classes;
  uint8_t length;
};

// The code point that starts at `text`, valid UTF-8. Inlined by force, into the scanners' loops.
[[gnu::always_inline]] inline PointClass step_at(const uint8_t* text) {
  const uint32_t first = text[0];
  if (first < 0x80) return {kAsciiClasses[first], 1};
  const auto classes = [](uint32_t page, uint32_t last) {
    return kLeafClasses[kClassPages[page] * 64 + (last & 0x3f)];
  };
  if (first < 0xe0) return {classes(first & 0x1f, text[1]), 2};
  const uint32_t second = text[1] & 0x3f;
  if (first < 0xf0) return {classes((first & 0x0f) << 6 | second, text[2]), 3};
  return {classes((first & 0x07) << 12 | second << 6 | (text[2] & 0x3f), text[3]), 4};
}

}  // namespace lowbit::tokenizers
