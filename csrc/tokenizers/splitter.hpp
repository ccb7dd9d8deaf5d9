// Text to words: normalisation and splitting in one pass over the bytes.
//
// "bert": clean the text, put spaces round Chinese characters, strip accents, lower the case, cut
// at white space, and make every punctuation mark a word of its own (Devlin et al., 2019).
// "characters": every code point is a word.
//
// ASCII goes through one table look-up a byte. Everything else takes the slow path, which follows
// the reference step by step, canonical reordering of combining marks included.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {

struct SplitOptions {
  bool characters = false;  // one word per code point; the normalisation below still applies
  bool normalize = true;
  bool clean_text = true;
  bool chinese_spaces = true;
  bool strip_accents = true;
  bool lowercase = true;
};

// A word with the place of each of its code points in the original text, counted in code points.
struct Word {
  std::string text;
  std::vector<int32_t> origins;  // filled only when asked for

  void clear() {
    text.clear();
    origins.clear();
  }
};

// Calls a sink's `word(const Word&)` for every word of a text.
template <class Sink, bool with_origins>
class Splitter {
 public:
  Splitter(const SplitOptions& options, Sink& sink) : options_(options), sink_(sink) {}

  // `origin`: the code points in front of this text, when it is part of a longer one.
  void run(std::string_view text, int32_t origin) {
    origin_ = origin;
    for (size_t i = 0; i < text.size();) {
      const uint8_t byte = static_cast<uint8_t>(text[i]);
      if (byte < 0x80 && !options_.characters && options_.normalize) {
        ascii(byte);
        ++i;
      } else {
        point(next_point(text, i));
      }
      ++origin_;
    }
    settle();
    flush();
  }

 private:
  // Only for the bert split with normalisation; code points below 0x80 are starters.
  void ascii(uint8_t byte) {
    if (!pending_.empty()) settle();
    const uint8_t flags = bert_flags(byte);
    if (flags == 0 || flags == kCased) {
      append(options_.lowercase && flags ? byte | 0x20 : byte, origin_);
    } else if ((flags & kRemoved) && options_.clean_text) {
      return;
    } else if (flags & kWhitespace) {
      flush();
    } else {
      starter(byte, origin_);
    }
  }

  void point(uint32_t p) {
    if (!options_.normalize) return starter_after_settling(p);
    const uint8_t flags = bert_flags(p);
    if (options_.clean_text) {
      if (flags & kRemoved) return;
      if (flags & kToSpace) return starter_after_settling(' ');
    }
    const bool spaced = options_.chinese_spaces && (flags & kChinese);
    if (spaced) settle(), space();
    if (options_.strip_accents && (flags & kDecomposed)) {
      uint32_t buffer[3];
      bool inserted = false;
      for (const uint32_t part : decompose(p, buffer)) {
        combining(part, inserted);
        inserted = true;
      }
    } else if (options_.strip_accents) {
      combining(p, false);
    } else {
      starter_after_settling(p);
    }
    if (spaced) settle(), space();
  }

  // Combining marks wait until the next starter, to be put into canonical order; the sort is
  // stable and marks that BERT strips fall out when the run is settled.
  void combining(uint32_t p, bool inserted) {
    const uint8_t order = p < 0x300 ? 0 : combining_class(p);
    if (order == 0) {
      settle();
      base_ = origin_;
      if (!(bert_flags(p) & kAccent)) lowered(p, origin_);
      return;
    }
    if (!inserted) arrivals_.push_back(origin_);
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

  void starter_after_settling(uint32_t p) {
    settle();
    lowered(p, origin_);
  }

  void lowered(uint32_t p, int32_t origin) {
    if (options_.normalize && options_.lowercase && (bert_flags(p) & kCased))
      for (const uint32_t part : lowercase(p)) starter(part, origin);
    else
      starter(p, origin);
  }

  // A normalised code point: part of a word, a word, or a gap.
  void starter(uint32_t p, int32_t origin) {
    if (options_.characters) {
      append(p, origin);
      return flush();
    }
    const uint8_t flags = bert_flags(p);
    if (flags & kWhitespace) return flush();
    if (!(flags & kPunctuation)) return append(p, origin);
    flush();
    append(p, origin);
    flush();
  }

  void space() {
    if (options_.characters)
      starter(' ', origin_);
    else
      flush();
  }

  void append(uint32_t p, int32_t origin) {
    if constexpr (with_origins) word_.origins.push_back(origin);
    append_utf8(word_.text, p);
  }

  void flush() {
    if (word_.text.empty()) return;
    sink_.word(word_);
    word_.clear();
  }

  struct Mark {
    uint32_t point;
    uint8_t order;
    bool inserted;  // by a decomposition
  };

  const SplitOptions& options_;
  Sink& sink_;
  Word word_;
  std::vector<Mark> pending_;
  std::vector<int32_t> arrivals_;  // origins of the pending marks that were not inserted
  int32_t base_ = 0;               // origin of the last starter
  int32_t origin_ = 0;
};

}  // namespace lowbit::tokenizers
