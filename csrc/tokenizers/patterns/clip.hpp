// CLIP's expression: two special tokens, contractions, words, single numbers and runs of signs;
// white space is left out.
#pragma once

#include "tokenizers/patterns/reader.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {

template <bool any_case>
struct ClipRule {
  static size_t end_of_match(const Reader& reader, std::string_view text, size_t at) {
    if (text[at] == '<') {
      if (const size_t end = literal(reader, at, "<|startoftext|>")) return end;
      if (const size_t end = literal(reader, at, "<|endoftext|>")) return end;
    }
    if (text[at] == '\'') {
      if (const size_t length = contraction<any_case>(reader, at + 1)) return at + 1 + length;
    }
    const PointClass first = reader.step(at);
    if (first.classes & kNumber) return at + first.length;
    const size_t end = run(text, at, is_letter);
    if (end > at) return end;
    return run(text, at, [](uint32_t point) {
      return !is_letter(point) && !(class_set(point) & (kSpace | kNumber));
    });
  }

 private:
  // Without regard to case the mark U+0345 is a letter, as its capital form is one.
  static bool is_letter(uint32_t point) {
    return (class_set(point) & kLetter) || (any_case && point == 0x345);
  }

  template <class Accept>
  static size_t run(std::string_view text, size_t at, Accept accept) {
    for (size_t next = at; next < text.size() && accept(next_point(text, next));) at = next;
    return at;
  }

  // The end of the literal if it stands at `at`, or 0.
  static size_t literal(const Reader& text, size_t at, std::string_view expected) {
    for (const char wanted : expected) {
      if (at >= text.size()) return 0;
      const bool letter = kAsciiClasses[text.byte(at)] & kLetter;
      const char byte = static_cast<char>(text.byte(at) | (any_case && letter ? 0x20 : 0));
      if (byte == wanted) {
        ++at;
      } else if (any_case && wanted == 's' && text.is(at, '\xc5') && text.is(at + 1, '\xbf')) {
        at += 2;
      } else {
        return 0;
      }
    }
    return at;
  }
};

}  // namespace lowbit::tokenizers
