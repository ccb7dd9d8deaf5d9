#include "tokenizers/bert_words.hpp"

#include <cstring>

#include "tokenizers/normal_forms.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {
namespace {

size_t ascii_end(std::string_view text, size_t i) {
  for (uint64_t eight; i + 8 <= text.size(); i += 8) {
    std::memcpy(&eight, text.data() + i, 8);
    if (eight & 0x8080808080808080u) break;
  }
  while (i < text.size() && static_cast<uint8_t>(text[i]) < 0x80) ++i;
  return i;
}

}  // namespace

// One text on its way through the pass.
class BertWriter {
 public:
  BertWriter(const BertWords& step, Text& text)
      : step_(step), options_(step.options_), text_(text), rewrite_(text) {}

  void run() {
    const std::string_view bytes = text_.bytes();
    text_.spare_pieces.clear();
    for (size_t i = 0; i < bytes.size();) {
      if (static_cast<uint8_t>(bytes[i]) < 0x80) {
        settle();
        i = text_.tracked() ? one(i) : stretch(i);
      } else if (const size_t end = plain_end(i); end > i) {
        keep(i, end);
        i = end;
      } else {
        const uint32_t p = next_point(bytes, i);
        place_ = {static_cast<uint32_t>(end), static_cast<uint32_t>(i)};
        point(p);
      }
    }
    settle();
    flush();
    rewrite_.finish();
    text_.pieces.swap(text_.spare_pieces);
  }

 private:
  // The end of the run of characters at `i` that stay as they are, with no part in what is round
  // them.
  size_t plain_end(size_t i) {
    const std::string_view bytes = text_.bytes();
    while (i < bytes.size() && static_cast<uint8_t>(bytes[i]) >= 0x80) {
      size_t behind = i;
      const uint32_t p = next_point(bytes, behind);
      if (bert_flags(p) != 0 || changes(NormalForm::nfd, p)) break;
      i = behind;
    }
    return i;
  }

  void keep(size_t begin, size_t end) {
    settle();
    rewrite_.keep({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
    size_t last = end - 1;
    while (!starts_point(text_.bytes()[last])) --last;
    base_ = {static_cast<uint32_t>(last), static_cast<uint32_t>(end)};
  }

  // ASCII up to the next byte that is not, or the end; returns where that is.
  size_t stretch(size_t i) {
    const std::string_view bytes = text_.bytes();
    const size_t end = ascii_end(bytes, i);
    const uint32_t base = rewrite_.size();
    char* const room = rewrite_.room(end - i);
    char* out = room;
    const auto here = [&] { return base + static_cast<uint32_t>(out - room); };
    for (; i < end; ++i) {
      const auto byte = static_cast<uint8_t>(bytes[i]);
      const uint8_t made = step_.ascii_[byte];
      if (made < 0x80) {
        *out++ = static_cast<char>(made);
        continue;
      }
      if (made == BertWords::kDrop) continue;
      flush_at(here());
      if (made == BertWords::kGap) continue;
      *out++ = static_cast<char>(byte);
      flush_at(here());
    }
    rewrite_.wrote(out);
    return i;
  }

  // One ASCII byte of a tracked text.
  size_t one(size_t i) {
    const auto byte = static_cast<uint8_t>(text_.bytes()[i]);
    place_ = {static_cast<uint32_t>(i), static_cast<uint32_t>(i + 1)};
    const uint8_t made = step_.ascii_[byte];
    if (made < 0x80)
      append(made, place_);
    else if (made != BertWords::kDrop)
      starter(byte, place_);
    return i + 1;
  }

  void point(uint32_t p) {
    const uint8_t flags = bert_flags(p);
    if (options_.clean_text) {
      if (flags & kRemoved) return;
      if (flags & kToSpace) return settle(), flush();
    }
    const bool spaced = options_.chinese_spaces && (flags & kChinese);
    if (spaced) settle(), flush();
    if (!options_.strip_accents) {
      lowered(p, place_);
    } else if (flags & kDecomposed) {
      uint32_t buffer[3];
      bool inserted = false;
      for (const uint32_t part : decompose(p, buffer)) {
        combining(part, inserted);
        inserted = true;
      }
    } else {
      combining(p, false);
    }
    if (spaced) settle(), flush();
  }

  // Combining marks wait until the next starter, to be put into canonical order; the sort is
  // stable and marks that BERT strips fall out when the run is settled.
  void combining(uint32_t p, bool inserted) {
    const uint8_t order = p < 0x300 ? 0 : combining_class(p);
    if (order == 0) {
      settle();
      base_ = place_;
      if (!(bert_flags(p) & kAccent)) lowered(p, place_);
      return;
    }
    if (!inserted) arrivals_.push_back(place_);
    size_t at = pending_.size();
    while (at > 0 && pending_[at - 1].order > order) --at;
    pending_.insert(pending_.begin() + static_cast<ptrdiff_t>(at), {p, order, inserted});
  }

  // As the reference places reordered marks: those that were characters of the text take the
  // places of such characters in order, those a decomposition inserted that of the one before.
  void settle() {
    if (pending_.empty()) return;
    size_t next = 0;
    for (const Mark& mark : pending_) {
      if (!mark.inserted) base_ = arrivals_[next++];
      if (!(bert_flags(mark.point) & kAccent)) lowered(mark.point, base_);
    }
    pending_.clear();
    arrivals_.clear();
  }

  void lowered(uint32_t p, Span place) {
    if (options_.lowercase && (bert_flags(p) & kCased))
      for (const uint32_t part : lowercase(p)) starter(part, place);
    else
      starter(p, place);
  }

  // A normalised code point: part of a word, a word, or a gap.
  void starter(uint32_t p, Span place) {
    const uint8_t flags = bert_flags(p);
    if (flags & kWhitespace) return flush();
    if (!(flags & kPunctuation)) return append(p, place);
    flush();
    append(p, place);
    flush();
  }

  void append(uint32_t p, Span place) {
    encoded_.clear();
    append_utf8(encoded_, p);
    rewrite_.put(encoded_, place);
  }

  void flush() { flush_at(rewrite_.size()); }
  void flush_at(uint32_t end) {
    if (end > word_) text_.spare_pieces.push_back({word_, end});
    word_ = end;
  }

  struct Mark {
    uint32_t point;
    uint8_t order;
    bool inserted;  // by a decomposition
  };

  const BertWords& step_;
  const normalizers::BertOptions& options_;
  Text& text_;
  Rewrite rewrite_;
  std::string encoded_;
  uint32_t word_ = 0;   // where the word at work begins
  Span place_{0, 0};    // of the code point at work
  Span base_{0, 0};     // of the last starter
  std::vector<Mark> pending_;
  std::vector<Span> arrivals_;  // places of the pending marks that were not inserted
};

BertWords::BertWords(const normalizers::BertOptions& options) : options_(options) {
  for (uint32_t byte = 0; byte < 0x80; ++byte) {
    const uint8_t flags = bert_flags(byte);
    uint8_t& made = ascii_[byte];
    made = static_cast<uint8_t>(options.lowercase && (flags & kCased) ? byte | 0x20 : byte);
    if (flags & kPunctuation) made = kMark;
    if (flags & kWhitespace) made = kGap;
    if (options.clean_text && (flags & kToSpace)) made = kGap;
    if (options.clean_text && (flags & kRemoved)) made = kDrop;
  }
}

void BertWords::apply(Text& text) const { BertWriter(*this, text).run(); }

bool BertWords::apply_to_word(std::string& word) const {
  if (word.size() == 1 && ascii_[static_cast<uint8_t>(word[0])] == kMark) return true;
  for (char& byte : word) {
    const uint8_t made = ascii_[static_cast<uint8_t>(byte)];
    if (made >= 0x80) return false;
    byte = static_cast<char>(made);
  }
  return true;
}

}  // namespace lowbit::tokenizers
