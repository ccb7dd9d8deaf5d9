// Scanners of short expressions: runs of one kind of character, without the text between them.
#pragma once

#include "tokenizers/pattern.hpp"
#include "tokenizers/patterns/reader.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {

// Calls `matched(begin, end)` as a rule for the whole of a text: from every place where nothing
// matches the search goes on at the next character.
template <class Rule>
class RulePattern final : public Pattern {
 public:
  void find(std::string_view text, std::vector<Span>& matches) const override {
    const Reader reader(text);
    for (size_t at = 0; at < text.size();) {
      const size_t end = Rule::end_of_match(reader, text, at);
      if (end > at) {
        matches.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(end)});
        at = end;
      } else {
        at += reader.step(at).length;
      }
    }
  }
};

// `least` to `most` characters (0: any number) that Accept takes by their code points, as many as
// there are.
template <class Accept, int least, int most, bool space_before = false>
struct Run {
  static size_t end_of_match(const Reader&, std::string_view text, size_t begin) {
    size_t at = begin;
    if (space_before && text[at] == ' ') ++at;
    int count = 0;
    for (size_t next = at; next < text.size() && (most == 0 || count < most); ++count) {
      if (!Accept::takes(next_point(text, next))) break;
      at = next;
    }
    return count >= least ? at : begin;
  }
};

template <uint32_t classes>
struct OfClass {
  static bool takes(uint32_t point) { return class_set(point) & classes; }
};

struct AsciiDigit {
  static bool takes(uint32_t point) { return point >= '0' && point <= '9'; }
};

struct Newline {
  static bool takes(uint32_t point) { return point == '\n' || point == '\r'; }
};

// Chinese characters and kana by DeepSeek's ranges.
struct ChineseOrKana {
  static bool takes(uint32_t point) {
    return (point >= 0x4e00 && point <= 0x9fa5) || (point >= 0x3040 && point <= 0x30ff);
  }
};

// Neither white space nor one of BLOOM's separators.
struct BloomWord {
  static bool takes(uint32_t point) {
    if (class_set(point) & kSpace) return false;
    constexpr std::u32string_view separators =
        U"()|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c";
    return separators.find(static_cast<char32_t>(point)) == separators.npos;
  }
};

// \w+|[^\w\s]+, where the engine of the reference counts six numbers of Latin-1, such as the
// superscript two, as \w but not as members of [\w].
struct WordsAndSigns {
  static size_t end_of_match(const Reader&, std::string_view text, size_t begin) {
    const auto run = [&](auto accept) {
      size_t at = begin;
      for (size_t next = at; next < text.size() && accept(next_point(text, next));) at = next;
      return at;
    };
    const size_t end = run([](uint32_t p) -> bool { return class_set(p) & kWordCharacter; });
    if (end > begin) return end;
    return run([](uint32_t p) { return !is_bracket_word(p) && !(class_set(p) & kSpace); });
  }
};

}  // namespace lowbit::tokenizers
