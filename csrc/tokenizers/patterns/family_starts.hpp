// Where the words of a family start in 64 bytes, by arithmetic on bit masks.
//
// It looks at most two bytes back and one ahead, but for what it carries from block to block. The
// few shapes that would need more are reported as such, for the scanner to do.
#pragma once

#include <bit>
#include <string_view>

#include "core/byte_masks.hpp"
#include "ops/dispatch.hpp"
#include "tokenizers/patterns/family_scanner.hpp"

namespace lowbit::tokenizers {

// Classes of the bytes of a block, those of one code point alike.
struct WideMasks : ByteMasks {
  uint64_t signs = 0;     // all that the others are not
  uint64_t caseless = 0;  // letters that may stand among small ones and among capitals
  uint64_t marks = 0;     // which continue a run of letters and one of signs, where cases matter
  uint64_t han = 0;       // Han characters, where they are apart
  uint64_t inner = 0;     // bytes of a code point behind its first
  uint64_t hard = 0;      // what the masks are not enough for: other white space and numbers
};

template <Family family>
class FamilyStarts {
 public:
  // Behind this call `starts()` is about the block at `begin`; the blocks come one after another.
  // False where the masks do not tell.
  bool advance(std::string_view text, size_t begin, const ByteMasks& block,
               const ByteMasks& following) {
    text_ = text;
    begin_ = begin;
    WideMasks now{block};
    if (block.high) widen(now);
    now.signs = ~(now.letters | now.digits | now.whites | now.han | now.hard);
    const uint64_t whites_behind = now.whites >> 1 | following.whites << 63;
    bool plain = family.newlines ? with_newlines(now, whites_behind)
                                 : plain_spaces(now, whites_behind);
    if (block.apostrophes | cleared_behind_ | set_behind_) contractions(now);
    plain &= !(now.hard | before_.hard >> 62 | (now.whites >> 63 & following.high));
    before_ = now;
    return plain;
  }

  uint64_t starts() const { return starts_; }

 private:
  // The mask moved by one byte, so that bit i tells of byte i - 1.
  static uint64_t shifted(uint64_t mask, uint64_t before) { return mask << 1 | before >> 63; }

  // Adds the code points beyond ASCII to the masks.
  [[gnu::noinline]] void widen(WideMasks& now) {
    uint64_t masks[kPointBits], leads;
    classify_points_({reinterpret_cast<const uint8_t*>(text_.data()) + begin_, kClassPages,
                      kPointPages.data(), kUniformLeads.data(), kClasses, masks, &leads});
    now.inner = now.high & ~leads;
    add(now, begun_class_, (uint64_t{1} << begun_) - 1);
    begun_ = 0;
    add_points(now, masks);
    const int left = std::countl_zero(leads);
    if (left >= 3) return;
    const size_t at = static_cast<size_t>(63 - left);
    const PointClass point = Reader(text_).step(begin_ + at);
    if (at + point.length <= kMaskBytes) return;
    add(now, point.classes, ~uint64_t{0} << at);
    begun_ = at + point.length - kMaskBytes;
    begun_class_ = point.classes;
  }

  // Those that are in the block as a whole, by their first bytes.
  static void add_points(WideMasks& now, const uint64_t (&masks)[kPointBits]) {
    const auto bytes = [&](uint64_t points) {
      for (int i = 0; i < 3; ++i) points |= points << 1 & now.inner;
      return points;
    };
    uint64_t letters = masks[kLetterBit], hard = masks[kHardBit];
    if constexpr (family.marks || family.cased) letters |= masks[kMarkBit];
    if constexpr (family.han) {
      now.han |= bytes(masks[kHanBit] & masks[kLetterBit]);
      hard |= masks[kHanBit] & ~masks[kLetterBit];
      letters &= ~masks[kHanBit];
    }
    if constexpr (family.cased) {
      now.capitals |= bytes(masks[kUpperBit]);
      now.caseless |= bytes(letters & ~(masks[kUpperBit] | masks[kLowerBit]));
      now.marks |= bytes(masks[kMarkBit]);
    }
    now.letters |= bytes(letters);
    if (hard) now.hard |= bytes(hard);
  }

  [[gnu::always_inline]] static void add(WideMasks& sum, uint8_t classes, uint64_t bytes) {
    const auto when = [&](bool holds) { return bytes & -uint64_t{holds}; };
    const bool letter = family.letters().take(classes);
    sum.letters |= when(letter);
    sum.hard |= when(classes & (kSpace | kNumber));
    if constexpr (family.cased) {
      sum.capitals |= when(classes & kUpper);
      sum.caseless |= when(letter & !(classes & (kUpper | kLower)));
      sum.marks |= when(classes & kMark);
    }
    if constexpr (family.han) {
      sum.han |= when((classes & kHan) && (classes & kLetter));
      sum.hard |= when((classes & kHan) && !(classes & kLetter));
    }
  }

  // GPT-2: a word starts where the class changes, but not behind a space, which begins it; and at
  // the last of several white characters.
  bool plain_spaces(const WideMasks& now, uint64_t whites_behind) {
    const uint64_t same = (now.letters & shifted(now.letters, before_.letters)) |
                          (now.digits & shifted(now.digits, before_.digits)) |
                          (now.signs & shifted(now.signs, before_.signs));
    const uint64_t words = ~now.whites & ~same & ~shifted(now.spaces, before_.spaces);
    starts_ = words | (now.whites & ~(shifted(now.whites, before_.whites) & whites_behind));
    return true;
  }

  bool with_newlines(const WideMasks& now, uint64_t whites_behind) {
    bool plain = white_starts(now, whites_behind);
    const uint64_t sign_starts = now.signs & ~shifted(now.signs, before_.signs) &
                                 ~shifted(now.spaces, before_.spaces);
    const uint64_t blanks = now.whites & ~now.newlines;
    // Letters take a blank, or a sign that starts a word, in front of them.
    uint64_t first_signs = sign_starts;
    for (int i = 0; i < 3 && now.inner; ++i)
      first_signs |= shifted(first_signs, first_signs_before_) & now.inner;
    const uint64_t taken = shifted(blanks, before_.whites & ~before_.newlines) |
                           shifted(first_signs, first_signs_before_);
    uint64_t letters = now.letters & ~shifted(now.letters, before_.letters) & ~taken;
    if constexpr (family.cased) {
      const uint64_t cased = now.letters & ~now.caseless;
      const uint64_t cased_before = before_.letters & ~before_.caseless;
      letters |= now.capitals & shifted(cased & ~now.capitals, cased_before & ~before_.capitals);
      plain &= !((now.caseless & shifted(cased, cased_before)) |
                 (cased & shifted(now.caseless, before_.caseless)) |
                 (now.marks & shifted(now.signs, before_.signs)));
    }
    if constexpr (family.han) starts_ |= now.han & ~shifted(now.han, before_.han);
    first_signs_before_ = first_signs;
    starts_ |= sign_starts | letters | digit_starts(now.digits);
    return plain;
  }

  // White space by \s*[\r\n]+|\s+(?!\S)|\s+, without the newlines that follow signs.
  bool white_starts(const WideMasks& now, uint64_t whites_behind) {
    const uint64_t tail_starts =
        now.newlines & (shifted(now.signs, before_.signs) | tails_before_ >> 63);
    const uint64_t tails = now.newlines & ~(now.newlines + tail_starts);
    const uint64_t behind_tails = shifted(tails, tails_before_) & now.signs;
    const uint64_t whites = now.whites & ~tails;
    const uint64_t blanks = now.whites & ~now.newlines;
    const uint64_t newlines = now.newlines & ~tails;
    // Blanks behind a newline are apart from it, unless another newline follows them.
    const uint64_t indents = blanks & shifted(newlines, before_.newlines & ~tails_before_);
    const uint64_t behind_indents = (blanks + indents) & ~blanks;
    const bool open_end = blanks + indents < blanks;
    starts_ = (whites & ~shifted(whites, before_.whites & ~tails_before_)) |
              (blanks & ~whites_behind) | indents;
    tails_before_ = tails;
    return !(behind_indents & now.newlines) && !(open_end && newline_or_end_follows()) &&
           !(family.slashes && behind_tails && slash_at(behind_tails));
  }

  bool newline_or_end_follows() const {
    size_t at = begin_ + kMaskBytes;
    while (at < text_.size() && (text_[at] == ' ' || text_[at] == '\t')) ++at;
    return at == text_.size() || (kAsciiClasses[static_cast<uint8_t>(text_[at])] & kSpace) ||
           static_cast<uint8_t>(text_[at]) >= 0x80;
  }

  bool slash_at(uint64_t places) const {
    for (; places; places &= places - 1)
      if (text_[begin_ + static_cast<size_t>(std::countr_zero(places))] == '/') return true;
    return false;
  }

  // The first digit of a run and every third behind it, or every digit.
  uint64_t digit_starts(uint64_t digits) {
    if constexpr (family.digits == 1) return digits;
    const uint64_t one = shifted(digits, before_.digits);
    const uint64_t inside = digits & one & (digits << 2 | before_.digits >> 62);
    uint64_t found = (digits & ~one) | (digit_starts_before_ >> 61 & inside);
    digit_starts_before_ = found;
    while ((found = found << 3 & inside)) digit_starts_before_ |= found;
    return digit_starts_before_;
  }

  // No word starts inside a contraction, and one starts behind it.
  void contractions(const WideMasks& now) {
    starts_ = (starts_ & ~cleared_behind_) | set_behind_;
    cleared_behind_ = set_behind_ = 0;
    if constexpr (family.contractions == Contractions::kNone) return;
    constexpr bool suffix = family.contractions == Contractions::kSuffix;
    constexpr bool any_case = family.contractions != Contractions::kLowercase;
    const uint64_t places = suffix ? shifted(now.letters, before_.letters) : starts_;
    for (uint64_t rest = now.apostrophes & places; rest; rest &= rest - 1) {
      const size_t at = static_cast<size_t>(std::countr_zero(rest));
      if (suffix && begin_ + at == contraction_end_) continue;  // there is one to a word
      const size_t length = contraction<any_case>(Reader(text_), begin_ + at + 1);
      if (length == 0) continue;
      const uint64_t inside = ((uint64_t{1} << length) - 1) << 1 | uint64_t{suffix};
      starts_ &= ~(inside << at);
      if (at > 0) cleared_behind_ |= inside >> (kMaskBytes - at);
      const size_t end = at + 1 + length;
      (end < kMaskBytes ? starts_ : set_behind_) |= uint64_t{1} << end % kMaskBytes;
      contraction_end_ = begin_ + end;
    }
  }

  // Classes that make a difference.
  static constexpr int kClasses = family.han                    ? kHanBit + 1
                                  : family.cased                ? kLowerBit + 1
                                  : family.marks                ? kMarkBit + 1
                                                                : kHardBit + 1;
  const decltype(ops::kernels().classify_points) classify_points_ =
      ops::kernels().classify_points;
  std::string_view text_;
  size_t begin_ = 0, contraction_end_ = 0;
  uint64_t starts_ = 0;
  // Of the block before, which may have begun a code point that ends in this one.
  WideMasks before_ = {};
  uint64_t first_signs_before_ = 0, tails_before_ = 0, digit_starts_before_ = 0;
  size_t begun_ = 0;
  uint8_t begun_class_ = 0;
  // For the block behind.
  uint64_t cleared_behind_ = 0, set_behind_ = 0;
};

}  // namespace lowbit::tokenizers
