// The long one of the three expressions of DeepSeek V3 and R1. Numbers and control characters that
// stand before no letter are left out: an earlier step has made words of them.
#pragma once

#include "tokenizers/patterns/reader.hpp"

namespace lowbit::tokenizers {

struct DeepSeekRule {
  static size_t end_of_match(const Reader& text, std::string_view, size_t at) {
    const PointClass first = text.step(at);
    const size_t behind = at + first.length;
    if (is_ascii_sign(text.byte(at)) && behind < text.size() && is_ascii_letter(text.byte(behind)))
      return text.bytes(behind, is_ascii_letter);
    if (kLetters.take(first.classes)) return text.run<kLetters>(at);
    if (!(first.classes & kSymbol) && !is_newline(text.byte(at)) && behind < text.size() &&
        kLetters.take(text.step(behind).classes))
      return text.run<kLetters>(behind);
    const size_t start = text.byte(at) == ' ' ? behind : at;
    const size_t end = text.run<Kinds{.some = kSymbol}>(start);
    if (end > start) return text.bytes(end, is_newline);
    return first.classes & kSpace ? end_of_spaces(text, at) : at;
  }

 private:
  static constexpr Kinds kLetters = {.some = kLetter | kMark};

  static bool is_ascii_letter(uint8_t byte) { return kAsciiClasses[byte] & kLetter; }
  static bool is_ascii_sign(uint8_t byte) { return kAsciiClasses[byte] & kSymbol; }
};

}  // namespace lowbit::tokenizers
