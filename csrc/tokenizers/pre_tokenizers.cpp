#include "tokenizers/pre_tokenizers.hpp"

#include <algorithm>

#include "tokenizers/byte_alphabet.hpp"
#include "tokenizers/class_ranges.hpp"
#include "tokenizers/classes.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers::pre_tokenizers {
namespace {

#include "tokenizers/tables/scripts.inc"

// The pieces of one stretch of text, from its matches and what lies between them.
class Cutter {
 public:
  Cutter(Behavior behavior, bool invert, std::vector<Span>& out)
      : behavior_(behavior), invert_(invert), out_(out) {}

  void cut(Span stretch, const std::vector<Span>& matches) {
    first_ = out_.size();
    before_ = false;
    uint32_t at = stretch.begin;
    bool empty = false;  // an empty match, which cuts but is no piece
    for (const Span match : matches) {
      if (at < match.begin) add({at, match.begin}, invert_);
      add(match, !invert_);
      empty |= match.begin == match.end;
      at = match.end;
    }
    if (at < stretch.end) add({at, stretch.end}, invert_);
    if (!empty) return;
    const auto first = out_.begin() + static_cast<ptrdiff_t>(first_);
    out_.erase(std::remove_if(first, out_.end(), [](Span s) { return s.begin == s.end; }),
               out_.end());
  }

 private:
  void add(Span s, bool is_match) {
    const bool follows = out_.size() > first_;  // there is a piece to extend
    switch (behavior_) {
      case Behavior::isolated:
        out_.push_back(s);
        break;
      case Behavior::removed:
        if (!is_match) out_.push_back(s);
        break;
      case Behavior::contiguous:
        extend_or_add(s, follows && is_match == before_);
        break;
      case Behavior::merged_with_previous:
        extend_or_add(s, follows && is_match && !before_);
        break;
      case Behavior::merged_with_next:
        extend_or_add(s, follows && before_ && !is_match);
        break;
    }
    before_ = is_match;
  }
  void extend_or_add(Span s, bool extend) {
    if (extend)
      out_.back().end = s.end;
    else
      out_.push_back(s);
  }

  Behavior behavior_;
  bool invert_;
  std::vector<Span>& out_;
  size_t first_ = 0;
  bool before_ = false;  // whether the one before was a match
};

// A step that cuts every piece where Find finds matches in it.
template <class Find>
class Split final : public Step {
 public:
  Split(Find find, Behavior behavior, bool invert)
      : find_(std::move(find)), behavior_(behavior), invert_(invert) {}

  void apply(Text& text) const override {
    std::vector<Span>& out = text.spare_pieces;
    out.clear();
    if (text.pieces.size() == 1 && keeps_matches() && covers(text, out)) {
      text.pieces.swap(out);
      return;
    }
    out.clear();
    std::vector<Span> matches;
    Cutter cutter(behavior_, invert_, out);
    for (const Span piece : text.pieces) {
      matches.clear();
      find_(text.bytes(piece), matches);
      for (Span& match : matches) match.begin += piece.begin, match.end += piece.begin;
      cutter.cut(piece, matches);
    }
    text.pieces.swap(out);
  }
  bool apply_to_word(std::string&) const override {
    return requires { Find::kKeepsWords; };
  }

 private:
  // Whether matches are pieces as they stand.
  bool keeps_matches() const {
    return behavior_ == Behavior::isolated || (behavior_ == Behavior::removed && invert_);
  }
  // Most patterns match everything, so that their matches are the pieces.
  bool covers(const Text& text, std::vector<Span>& out) const {
    const Span whole = text.pieces[0];
    if (whole.begin != 0) return false;
    find_(text.bytes(whole), out);
    if constexpr (requires { find_.covers(); })
      if (find_.covers()) return true;
    uint32_t at = 0;
    bool gap = false;
    for (const Span match : out)
      gap |= match.begin != at || match.begin == match.end, at = match.end;
    return !gap && at == whole.end;
  }

  Find find_;
  Behavior behavior_;
  bool invert_;
};
template <class Find>
StepPointer make_split(Find find, Behavior behavior, bool invert = false) {
  return std::make_unique<Split<Find>>(std::move(find), behavior, invert);
}

// Every code point of a kind is a match.
template <class Is>
void find_points(Is is, std::string_view text, std::vector<Span>& matches) {
  for (size_t i = 0; i < text.size();) {
    const auto begin = static_cast<uint32_t>(i);
    if (is(next_point(text, i))) matches.push_back({begin, static_cast<uint32_t>(i)});
  }
}
template <class Is>
StepPointer split_at(Is is, Behavior behavior) {
  return make_split(
      [is](std::string_view text, std::vector<Span>& matches) { find_points(is, text, matches); },
      behavior);
}

bool is_punctuation(uint32_t p) { return bert_flags(p) & kPunctuation; }

bool is_numeric(uint32_t p) { return class_set(p) & kNumeric; }

// A step that makes every piece anew: Make(text, piece, rewrite).
template <class Make>
class Remake final : public Step {
 public:
  explicit Remake(Make make) : make_(std::move(make)) {}
  void apply(Text& text) const override {
    std::vector<Span>& out = text.spare_pieces;
    out.clear();
    Rewrite rewrite(text);
    for (const Span piece : text.pieces) {
      const uint32_t begin = rewrite.size();
      make_(text, piece, rewrite);
      if (rewrite.size() > begin) out.push_back({begin, rewrite.size()});
    }
    rewrite.finish();
    text.pieces.swap(out);
  }

 private:
  Make make_;
};
template <class Make>
StepPointer remake(Make make) {
  return std::make_unique<Remake<Make>>(std::move(make));
}

Span first_point(const Text& text, Span piece) {
  size_t end = 0;
  next_point(text.bytes(piece), end);
  return {piece.begin, piece.begin + static_cast<uint32_t>(end)};
}

// Cuts where a mark begins; of a run of marks only where the first one does, when `runs`.
class Before final : public Step {
 public:
  Before(std::string mark, bool runs) : mark_(std::move(mark)), runs_(runs) {}
  void apply(Text& text) const override {
    std::vector<Span>& out = text.spare_pieces;
    out.clear();
    const auto size = static_cast<uint32_t>(mark_.size());
    for (const Span piece : text.pieces) {
      const std::string_view bytes = text.bytes(piece);
      uint32_t begin = 0;
      size_t end_of_last = 0;
      for (size_t at = bytes.find(mark_); at != std::string_view::npos;
           at = bytes.find(mark_, end_of_last)) {
        if (at > begin && !(runs_ && at == end_of_last && end_of_last > 0)) {
          out.push_back({piece.begin + begin, piece.begin + static_cast<uint32_t>(at)});
          begin = static_cast<uint32_t>(at);
        }
        end_of_last = at + size;
      }
      out.push_back({piece.begin + begin, piece.end});
    }
    text.pieces.swap(out);
  }

 private:
  std::string mark_;
  bool runs_;
};

// Spaces become marks, and one is put in front.
StepPointer mark_spaces(std::string mark, Prepend prepend) {
  return remake([mark, prepend](const Text& text, Span piece, Rewrite& rewrite) {
    if (piece.begin == piece.end) return;
    const std::string_view bytes = text.bytes(piece);
    const bool begins = bytes.starts_with(' ') || bytes.starts_with(mark);
    const bool first = piece.begin == 0 && text.is_beginning();
    if (!begins && (prepend == Prepend::always || (prepend == Prepend::first && first)))
      rewrite.put(mark, first_point(text, piece));
    uint32_t at = piece.begin;
    for (size_t space = bytes.find(' '); space != std::string_view::npos;
         space = bytes.find(' ', space + 1)) {
      const uint32_t place = piece.begin + static_cast<uint32_t>(space);
      rewrite.keep({at, place});
      rewrite.put(mark, {place, place + 1});
      at = place + 1;
    }
    rewrite.keep({at, piece.end});
  });
}

// Finds white space, as the library's "WhitespaceSplit" does.
struct FindSpaces {
  static constexpr bool kKeepsWords = true;

  void operator()(std::string_view text, std::vector<Span>& matches) const {
    find_points(is_space, text, matches);
  }
};

class Metaspace final : public Step {
 public:
  Metaspace(std::string mark, Prepend prepend, bool cut)
      : mark_(mark), prepend_(prepend), marked_(mark_spaces(mark, prepend)) {
    if (cut) cut_ = std::make_unique<Before>(std::move(mark), false);
  }
  void apply(Text& text) const override {
    marked_->apply(text);
    if (cut_) cut_->apply(text);
  }
  bool apply_to_word(std::string& word) const override {
    if (prepend_ == Prepend::first || mark_.empty() || !(mark_[0] & 0x80)) return false;
    if (prepend_ == Prepend::always) word.insert(0, mark_);
    return true;
  }

 private:
  std::string mark_;
  Prepend prepend_;
  StepPointer marked_, cut_;
};

class Both final : public Step {
 public:
  Both(StepPointer first, StepPointer second)
      : first_(std::move(first)), second_(std::move(second)) {}
  void apply(Text& text) const override {
    first_->apply(text);
    second_->apply(text);
  }

 private:
  StepPointer first_, second_;
};

}  // namespace

struct FindPattern {
  std::shared_ptr<const Pattern> pattern;

  void operator()(std::string_view text, std::vector<Span>& matches) const {
    pattern->find(text, matches);
  }
  bool covers() const { return pattern->covers(); }
};

StepPointer split(std::shared_ptr<const Pattern> pattern, Behavior behavior, bool invert) {
  return make_split(FindPattern{std::move(pattern)}, behavior, invert);
}

StepPointer split(std::string literal, Behavior behavior, bool invert) {
  return make_split([literal](std::string_view text, std::vector<Span>& matches) {
    for (size_t at = text.find(literal); at != std::string_view::npos;
         at = text.find(literal, at + literal.size()))
      matches.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(at + literal.size())});
  }, behavior, invert);
}

StepPointer whitespace() {
  return make_split([](std::string_view text, std::vector<Span>& matches) {
    int before = 0;  // 1: in a run of \w, 2: in a run of neither, 0: in white space
    for (size_t i = 0; i < text.size();) {
      const auto begin = static_cast<uint32_t>(i);
      const uint32_t p = next_point(text, i);
      const int kind = is_word_character(p) ? 1 : is_space(p) ? 0 : 2;
      const auto end = static_cast<uint32_t>(i);
      if (kind != 0 && kind == before)
        matches.back().end = end;
      else if (kind != 0)
        matches.push_back({begin, end});
      before = kind;
    }
  }, Behavior::removed, true);
}

StepPointer whitespace_split() { return make_split(FindSpaces{}, Behavior::removed); }
StepPointer punctuation(Behavior behavior) { return split_at(is_punctuation, behavior); }
StepPointer digits(bool individual) {
  return split_at(is_numeric, individual ? Behavior::isolated : Behavior::contiguous);
}

StepPointer bert() {
  return std::make_unique<Both>(whitespace_split(), punctuation(Behavior::isolated));
}

StepPointer fixed_length(int64_t characters) {
  return make_split([characters](std::string_view text, std::vector<Span>& matches) {
    for (size_t i = 0; i < text.size();) {
      const auto begin = static_cast<uint32_t>(i);
      for (int64_t n = 0; n < characters && i < text.size(); ++n) next_point(text, i);
      matches.push_back({begin, static_cast<uint32_t>(i)});
    }
  }, Behavior::isolated);
}

StepPointer unicode_scripts() {
  return make_split([](std::string_view text, std::vector<Span>& matches) {
    ClassRanges scripts(kScriptStarts);
    uint8_t before = 0;  // 0 is no script
    for (size_t i = 0; i < text.size();) {
      const auto begin = static_cast<uint32_t>(i);
      const uint8_t script = scripts(next_point(text, i));
      if (script != 0 && script != before) matches.push_back({begin, begin}), before = script;
      // The library leaves out what comes before the first script.
      if (!matches.empty()) matches.back().end = static_cast<uint32_t>(i);
    }
  }, Behavior::removed, true);
}

StepPointer prefix_space() {
  return remake([](const Text& text, Span piece, Rewrite& rewrite) {
    if (piece.begin == piece.end) return;
    if (text.bytes()[piece.begin] != ' ') rewrite.put(" ", first_point(text, piece));
    rewrite.keep(piece);
  });
}

StepPointer byte_level() {
  return remake([](const Text& text, Span piece, Rewrite& rewrite) {
    std::string encoded;
    for (uint32_t i = piece.begin; i < piece.end; ++i) {
      encoded.clear();
      append_utf8(encoded, kByteAlphabet[static_cast<uint8_t>(text.bytes()[i])]);
      rewrite.put(encoded, {i, i + 1});
    }
  });
}

StepPointer metaspace(std::string replacement, Prepend prepend, bool cut) {
  return std::make_unique<Metaspace>(std::move(replacement), prepend, cut);
}

StepPointer before_runs(std::string mark) {
  return std::make_unique<Before>(std::move(mark), true);
}

}  // namespace lowbit::tokenizers::pre_tokenizers
