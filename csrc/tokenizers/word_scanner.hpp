// A hand-written scanner for the split expressions of language models. They are one grammar with
// few differences:
//
//   GPT-2       's|'t|...| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   Llama 3     (?i:'s|'t|...)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
//               |\s*[\r\n]+|\s+(?!\S)|\s+
//   o200k       words cut where upper case follows lower case, contractions behind words
//
// Everything is matched, so the matches follow each other without gaps.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "tokenizers/classes.hpp"
#include "tokenizers/pattern.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {

enum class Contractions { lower_case, any_case, behind_words, none };
enum class Tail { none, newlines, newlines_and_slashes };
enum class Words { letters, letters_and_marks, cased, cased_without_han };

struct Grammar {
  Contractions contractions = Contractions::lower_case;
  Words words = Words::letters;
  bool prefix = false;           // any one character but a letter, number or newline before a word
  int digits = 0;                // most in a number; 0: any, with a space before
  Tail tail = Tail::none;        // what may follow punctuation
  bool newlines = false;         // white space up to the last newline of a run is a match
  bool last_run_whole = false;   // but not at the end of the text
};

template <Grammar grammar>
class WordScanner final : public Pattern {
 public:
  void find(std::string_view text, std::vector<Span>& matches) const override {
    Scan scan{text};
    uint32_t at = 0;
    while (at < text.size()) {
      const uint32_t end = scan.match(at);
      matches.push_back({at, end});
      at = end;
    }
  }

 private:
  static constexpr bool kMarks = grammar.words == Words::letters_and_marks;
  static constexpr bool kCased =
      grammar.words == Words::cased || grammar.words == Words::cased_without_han;
  static constexpr bool kHan = grammar.words == Words::cased_without_han;
  static constexpr uint16_t kLetter = kMarks ? kL | kM : kL;
  static constexpr uint16_t kNotMarkup = kSpace | kLetter | kN;

  // A code point and where the next one begins.
  struct Point {
    uint32_t value = 0;
    uint16_t kind = 0;
    uint32_t end = 0;
  };

  struct Scan {
    std::string_view text;

    static const std::array<uint16_t, 128>& ascii() {
      static const auto kKinds = [] {
        std::array<uint16_t, 128> kinds{};
        for (uint32_t p = 0; p < 128; ++p) kinds[p] = classes(p);
        return kinds;
      }();
      return kKinds;
    }
    bool ends(uint32_t at) const { return at >= text.size(); }
    Point point(uint32_t at) const {
      const auto byte = static_cast<uint8_t>(text[at]);
      if (byte < 0x80) return {byte, ascii()[byte], at + 1};
      size_t next = at;
      const uint32_t value = next_point(text, next);
      return {value, classes(value), static_cast<uint32_t>(next)};
    }
    // The end of the run of code points for which `is` holds.
    template <class Is>
    uint32_t run(uint32_t at, Is&& is) const {
      while (!ends(at)) {
        const Point p = point(at);
        if (!is(p)) break;
        at = p.end;
      }
      return at;
    }
    uint32_t run_of(uint32_t at, uint16_t kinds) const {
      return run(at, [=](const Point& p) { return (p.kind & kinds) != 0; });
    }

    uint32_t match(uint32_t at) const {
      const Point p = point(at);
      if constexpr (grammar.contractions == Contractions::lower_case ||
                    grammar.contractions == Contractions::any_case)
        if (p.value == '\'')
          if (const uint32_t end = contraction(at)) return end;
      if constexpr (kHan)
        if (p.kind & kHan_) return run_of(at, kHan_);
      if (const uint32_t end = word(at, p)) return end;
      if (const uint32_t end = number(at, p)) return end;
      if (const uint32_t end = markup(at, p)) return end;
      return spaces(at);
    }

    static constexpr uint16_t kHan_ = tokenizers::kHan;

    // 's 't 're 've 'm 'll 'd, or `at` where there is none.
    uint32_t contraction(uint32_t at) const {
      const auto letter = [&](uint32_t i) -> uint32_t {
        if (ends(i)) return 0;
        const auto byte = static_cast<uint8_t>(text[i]);
        if constexpr (grammar.contractions == Contractions::lower_case) return byte;
        if (byte == 0xc5 && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) == 0xbf)
          return 0x17f;  // the long s, which is an s in any case
        return byte >= 'A' && byte <= 'Z' ? byte | 0x20u : byte;
      };
      const uint32_t first = letter(at + 1);
      if (first == 0x17f) return at + 3;
      if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
      const uint32_t second = letter(at + 2);
      const bool two = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                       (first == 'l' && second == 'l');
      return two ? at + 3 : 0;
    }

    uint32_t word(uint32_t at, const Point& p) const {
      if constexpr (kCased) return cased_word(at, p);
      if (p.kind & kLetter) return run_of(p.end, kLetter);
      if constexpr (grammar.prefix) {
        if (!is_prefix(p)) return 0;
      } else {
        if (p.value != ' ') return 0;
      }
      if (ends(p.end)) return 0;
      const Point next = point(p.end);
      return next.kind & kLetter ? run_of(next.end, kLetter) : 0;
    }
    static bool is_prefix(const Point& p) {
      return !(p.kind & (kL | kN)) && p.value != '\r' && p.value != '\n';
    }

    static bool can_begin(const Point& p) {
      return (p.kind & (kLu | kLt | kLm | kLo | kM)) && !(kHan && (p.kind & kHan_));
    }
    static bool can_end(const Point& p) {
      return (p.kind & (kLl | kLm | kLo | kM)) && !(kHan && (p.kind & kHan_));
    }
    // U*W+, then U+W*, each with a prefix and without.
    uint32_t cased_word(uint32_t at, const Point& p) const {
      const bool prefixed = is_prefix(p) && !ends(p.end);
      uint32_t end = 0;
      if (prefixed) end = lower_ending(p.end);
      if (end == 0) end = lower_ending(at);
      if (end == 0 && prefixed) end = upper_word(p.end);
      if (end == 0) end = upper_word(at);
      if (end == 0 || ends(end)) return end;
      if constexpr (grammar.contractions == Contractions::behind_words)
        if (text[end] == '\'')
          if (const uint32_t behind = contraction(end)) return behind;
      return end;
    }
    // U*W+: the upper run gives back letters that may be lower until one is left for W.
    uint32_t lower_ending(uint32_t at) const {
      uint32_t last = 0, upper = at;
      while (!ends(upper)) {
        const Point p = point(upper);
        if (!can_begin(p)) break;
        if (can_end(p)) last = p.end;
        upper = p.end;
      }
      const uint32_t end = run(upper, can_end);
      return end > upper ? end : last;
    }
    uint32_t upper_word(uint32_t at) const {
      const uint32_t end = run(at, can_begin);
      return end > at ? run(end, can_end) : 0;
    }

    uint32_t number(uint32_t at, const Point& p) const {
      if constexpr (grammar.digits == 0) {
        if (p.kind & kN) return run_of(p.end, kN);
        if (p.value != ' ' || ends(p.end)) return 0;
        const Point next = point(p.end);
        return next.kind & kN ? run_of(next.end, kN) : 0;
      } else {
        if (!(p.kind & kN)) return 0;
        at = p.end;
        for (int n = 1; n < grammar.digits && !ends(at); ++n) {
          const Point next = point(at);
          if (!(next.kind & kN)) break;
          at = next.end;
        }
        return at;
      }
    }

    uint32_t markup(uint32_t at, const Point& p) const {
      uint32_t begin = at;
      if (p.value == ' ') begin = p.end;
      if (ends(begin) || (point(begin).kind & kNotMarkup)) return 0;
      at = run(begin, [](const Point& q) { return !(q.kind & kNotMarkup); });
      while (!ends(at) && is_tail(text[at])) ++at;
      return at;
    }

    static bool is_tail(char c) {
      if constexpr (grammar.tail == Tail::none) return false;
      return c == '\r' || c == '\n' || (grammar.tail == Tail::newlines_and_slashes && c == '/');
    }

    uint32_t spaces(uint32_t at) const {
      uint32_t last = at, newline = 0, end = at, count = 0;  // last: where the last one begins
      while (!ends(end)) {
        const Point p = point(end);
        if (!(p.kind & kSpace)) break;
        if (p.value == '\r' || p.value == '\n') newline = p.end;
        last = end;
        end = p.end;
        ++count;
      }
      if (count == 0) return point(at).end;  // nothing else matches it
      if (grammar.last_run_whole && ends(end)) return end;
      if (grammar.newlines && newline > 0) return newline;
      return ends(end) || count == 1 ? end : last;
    }
  };
};

}  // namespace lowbit::tokenizers
