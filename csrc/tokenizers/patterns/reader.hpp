// A text as the scanners read it: class tests at a place, and the ends of runs.
#pragma once

#include <string_view>

#include "tokenizers/classes.hpp"

namespace lowbit::tokenizers {

// Classes of which a code point has some (if there are any), and none.
struct Kinds {
  uint8_t some = 0, none = 0;

  constexpr bool take(uint8_t classes) const {
    return (some == 0 || (classes & some)) && !(classes & none);
  }
};

class Reader {
 public:
  explicit Reader(std::string_view text)
      : bytes_(reinterpret_cast<const uint8_t*>(text.data())), size_(text.size()) {}

  size_t size() const { return size_; }
  uint8_t byte(size_t at) const { return bytes_[at]; }
  bool is(size_t at, char byte) const {
    return at < size_ && bytes_[at] == static_cast<uint8_t>(byte);
  }
  [[gnu::always_inline]] PointClass step(size_t at) const { return step_at(bytes_ + at); }

  // The end of the run of code points of these kinds.
  template <Kinds kinds>
  size_t run(size_t at) const {
    while (at < size_) {
      for (; at < size_ && bytes_[at] < 0x80; ++at)
        if (!kinds.take(kAsciiClasses[bytes_[at]])) return at;
      while (at < size_ && bytes_[at] >= 0x80) {
        const PointClass next = step(at);
        if (!kinds.take(next.classes)) return at;
        at += next.length;
      }
    }
    return at;
  }

  // The end of the run of bytes that `accept` takes.
  template <class Accept>
  size_t bytes(size_t at, Accept accept) const {
    while (at < size_ && accept(bytes_[at])) ++at;
    return at;
  }

 private:
  const uint8_t* bytes_;
  size_t size_;
};

inline bool is_newline(uint8_t byte) { return byte == '\n' || byte == '\r'; }

// The end of the white space at `at` by `\s*[\r\n]+|\s+(?!\S)|\s+`: behind the last newline, or
// without one before the last space, which the next word may take.
inline size_t end_of_spaces(const Reader& text, size_t at) {
  size_t last = at, newline = 0, end = at;
  while (end < text.size()) {
    const PointClass next = text.step(end);
    if (!(next.classes & kSpace)) break;
    if (is_newline(text.byte(end))) newline = end + 1;
    last = end;
    end += next.length;
  }
  if (newline) return newline;
  return end == text.size() || last == at ? end : last;
}

// The length of what follows the apostrophe in 's 't 'm 'd 're 've 'll at `at`, or 0. Without
// regard to case, as (?i:) has it, the long s of U+017F is an s as well.
template <bool any_case>
size_t contraction(const Reader& text, size_t at) {
  if (at >= text.size()) return 0;
  const auto letter = [&](size_t i) -> char {
    if (i >= text.size()) return 0;
    const uint8_t byte = text.byte(i);
    return static_cast<char>(any_case && byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
  };
  switch (letter(at)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 1;
    case 'r':
    case 'v':
      return letter(at + 1) == 'e' ? 2 : 0;
    case 'l':
      return letter(at + 1) == 'l' ? 2 : 0;
    case '\xc5':
      return any_case && text.is(at + 1, '\xbf') ? 2 : 0;
    default:
      return 0;
  }
}

}  // namespace lowbit::tokenizers
