// The scanner of the expressions that descend from GPT-2's: words, digits, signs and white space,
// each taken in runs. They cover every text, so that words follow each other without gaps.
//
// A family is a set of choices made at compile time; the scanner tries the alternatives in the
// order of the expression, with what backtracking would come to worked out beforehand.
#pragma once

#include "tokenizers/patterns/reader.hpp"

namespace lowbit::tokenizers {

enum class Contractions {
  kNone,
  kLowercase,  // words of their own, in lower case only
  kAnyCase,    // words of their own
  kSuffix,     // the end of the word in front of them, in any case
};

struct Family {
  Contractions contractions = Contractions::kAnyCase;
  // What letters take in front of them: a space, as do digits then, or else one character that is
  // neither letter nor number nor newline.
  bool space_only = false;
  bool marks = false;      // marks are letters
  bool cased = false;      // a capital after a small letter begins a word; marks are letters
  bool han = false;        // Han characters are words apart
  int digits = 3;          // at most so many in a word; 0: any number
  bool newlines = true;    // signs take the newlines behind them; so does white space
  bool slashes = false;    // signs take slashes among these newlines
  bool whole_end = false;  // white space at the end of the text is one word, newlines or not

  constexpr Kinds letters() const {
    return {.some = static_cast<uint8_t>(marks || cased ? kLetter | kMark : kLetter),
            .none = static_cast<uint8_t>(han ? kHan : 0)};
  }
};

template <Family family>
class FamilyScanner {
 public:
  explicit FamilyScanner(std::string_view text) : text_(text) {}

  // The end of the word that starts at `at`, which is before the end of the text.
  size_t next(size_t at) const {
    const PointClass first = text_.step(at);
    if (family.han && (first.classes & kHan)) return text_.run<Kinds{.some = kHan}>(at);
    if (text_.byte(at) == '\'') {
      if (const size_t length = leading_contraction(at + 1)) return at + 1 + length;
    }
    if (kLetters.take(first.classes)) return word(at);
    if (first.classes & kNumber) return digits(at);
    if (const size_t behind = at + first.length; behind < text_.size()) {
      const bool space = text_.byte(at) == ' ';
      const uint8_t second = text_.step(behind).classes;
      if ((space || (!family.space_only && !is_newline(text_.byte(at)))) && kLetters.take(second))
        return word(behind);
      if (space && !(second & (kSpace | kLetter | kNumber))) return signs(behind);
      if (space && family.space_only && (second & kNumber)) return digits(behind);
    }
    return first.classes & kSpace ? spaces(at) : signs(at);
  }

 private:
  static constexpr Kinds kLetters = family.letters();
  static constexpr Kinds kSigns = {.none = kSpace | kLetter | kNumber | (family.marks ? kMark : 0)};

  size_t leading_contraction(size_t at) const {
    if constexpr (family.contractions == Contractions::kLowercase)
      return contraction<false>(text_, at);
    if constexpr (family.contractions == Contractions::kAnyCase)
      return contraction<true>(text_, at);
    return 0;
  }

  size_t word(size_t at) const {
    if constexpr (!family.cased) return text_.run<kLetters>(at);
    const size_t end = cased_word(at);
    if (family.contractions != Contractions::kSuffix || !text_.is(end, '\'')) return end;
    const size_t length = contraction<true>(text_, end + 1);
    return length ? end + 1 + length : end;
  }

  // U*W+ or else U+W*, where U are the letters that are not small, W those that are not capital.
  size_t cased_word(size_t at) const {
    size_t both = 0;  // behind the last letter that is in U and W
    while (at < text_.size()) {
      const PointClass next = text_.step(at);
      if (!kLetters.take(next.classes)) break;
      if (next.classes & kLower)
        return text_.run<Kinds{kLetters.some, kLetters.none | kUpper}>(at);
      at += next.length;
      if (!(next.classes & kUpper)) both = at;
    }
    return both ? both : at;
  }

  size_t digits(size_t at) const {
    if constexpr (family.digits == 0) return text_.run<Kinds{.some = kNumber}>(at);
    for (int i = 0; i < family.digits && at < text_.size(); ++i) {
      const PointClass next = text_.step(at);
      if (!(next.classes & kNumber)) break;
      at += next.length;
    }
    return at;
  }

  size_t signs(size_t at) const {
    at = text_.run<kSigns>(at);
    if constexpr (!family.newlines) return at;
    return text_.bytes(at, [](uint8_t b) { return is_newline(b) || (family.slashes && b == '/'); });
  }

  size_t spaces(size_t at) const {
    if constexpr (family.newlines && !family.whole_end) return end_of_spaces(text_, at);
    const size_t end = text_.run<Kinds{.some = kSpace}>(at);
    if (end == text_.size()) return end;
    if constexpr (family.newlines) return end_of_spaces(text_, at);
    size_t last = end - 1;
    while ((text_.byte(last) & 0xc0) == 0x80) --last;
    return last > at ? last : end;
  }

  Reader text_;
};

}  // namespace lowbit::tokenizers
