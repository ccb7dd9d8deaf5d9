#include "tokenizers/normalizers.hpp"

#include <algorithm>
#include <cstring>

#include "tokenizers/byte_alphabet.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers::normalizers {
namespace {

bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c & 0x80; });
}

// Calls use(code point, its bytes) for a whole text.
template <class Use>
void for_points(std::string_view text, Use&& use) {
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const uint32_t point = next_point(text, i);
    use(point, Span{static_cast<uint32_t>(begin), static_cast<uint32_t>(i)});
  }
}

void finish(Rewrite& rewrite, Text& text) {
  text.pieces.assign(1, {0, rewrite.size()});
  rewrite.finish();
}

class Form final : public Step {
 public:
  explicit Form(NormalForm form) : form_(form) {}
  void apply(Text& text) const override { normalize(form_, text); }
  bool apply_to_word(std::string&) const override { return true; }

 private:
  NormalForm form_;
};

// Every code point becomes what map(point, encoded) appends to `encoded`; false keeps it.
template <class Map>
class PointMap final : public Step {
 public:
  explicit PointMap(Map map) : map_(std::move(map)) {}
  void apply(Text& text) const override {
    Rewrite rewrite(text);
    std::string encoded;
    uint32_t kept = 0;  // bytes that are in the new text, or changed
    bool changed = false;
    for_points(text.bytes(), [&](uint32_t point, Span place) {
      encoded.clear();
      if (!map_(point, encoded)) return;
      changed = true;
      rewrite.keep({kept, place.begin});
      rewrite.put(encoded, place);
      kept = place.end;
    });
    if (!changed) return;
    rewrite.keep({kept, static_cast<uint32_t>(text.bytes().size())});
    finish(rewrite, text);
  }
  // Whether nothing is changed.
  bool apply_to_word(std::string& word) const override {
    std::string encoded;
    return std::none_of(word.begin(), word.end(), [&](char byte) {
      return map_(static_cast<uint8_t>(byte), encoded);
    });
  }

 private:
  Map map_;
};
template <class Map>
StepPointer map_points(Map map) {
  return std::make_unique<PointMap<Map>>(std::move(map));
}

class Strip final : public Step {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void apply(Text& text) const override {
    Span kept{0, 0};
    bool seen = false;
    for_points(text.bytes(), [&](uint32_t point, Span place) {
      if (is_space(point)) return;
      if (!seen) kept.begin = place.begin;
      kept.end = place.end;
      seen = true;
    });
    const auto size = static_cast<uint32_t>(text.bytes().size());
    if (!left_) kept.begin = 0;
    if (!right_) kept.end = size;
    if (!seen) kept = left_ || right_ ? Span{0, 0} : Span{0, size};
    Rewrite rewrite(text);
    rewrite.keep(kept);
    finish(rewrite, text);
  }

 private:
  bool left_, right_;
};

class Prepend final : public Step {
 public:
  explicit Prepend(std::string content) : content_(std::move(content)) {}
  void apply(Text& text) const override {
    if (text.bytes().empty() || content_.empty()) return;
    size_t first = 0;
    next_point(text.bytes(), first);
    Rewrite rewrite(text);
    rewrite.put(content_, {0, static_cast<uint32_t>(first)});
    rewrite.keep({0, static_cast<uint32_t>(text.bytes().size())});
    finish(rewrite, text);
  }

 private:
  std::string content_;
};

class ReplaceLiteral final : public Step {
 public:
  ReplaceLiteral(std::string literal, std::string content)
      : literal_(std::move(literal)), content_(std::move(content)) {}
  void apply(Text& text) const override {
    const std::string_view bytes = text.bytes();
    size_t found = find(bytes, 0), at = 0;
    if (found == std::string_view::npos) return;
    size_t last = literal_.size() - 1;  // what is new stands for the last character replaced
    while (!starts_point(literal_[last])) --last;
    Rewrite rewrite(text);
    for (; found != std::string_view::npos; found = find(bytes, at)) {
      rewrite.keep({static_cast<uint32_t>(at), static_cast<uint32_t>(found)});
      at = found + literal_.size();
      rewrite.put(content_, {static_cast<uint32_t>(found + last), static_cast<uint32_t>(at)});
    }
    rewrite.keep({static_cast<uint32_t>(at), static_cast<uint32_t>(bytes.size())});
    finish(rewrite, text);
  }
  bool apply_to_word(std::string& word) const override {
    return find(word, 0) == std::string_view::npos;
  }

 private:
  size_t find(std::string_view bytes, size_t from) const {
    if (literal_.size() > 1) return bytes.find(literal_, from);
    if (from == bytes.size()) return std::string_view::npos;
    const void* found = std::memchr(bytes.data() + from, literal_[0], bytes.size() - from);
    if (!found) return std::string_view::npos;
    return static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
  }

  std::string literal_, content_;
};

class ReplacePattern final : public Step {
 public:
  ReplacePattern(std::shared_ptr<const Pattern> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(Text& text) const override {
    std::vector<Span> matches;
    pattern_->find(text.bytes(), matches);
    if (matches.empty()) return;
    Rewrite rewrite(text);
    uint32_t at = 0;
    for (const Span match : matches) {
      rewrite.keep({at, match.begin});
      // An empty match stands for the character before it.
      uint32_t last = match.end > 0 ? match.end - 1 : 0;
      while (last > 0 && !starts_point(text.bytes()[last])) --last;
      rewrite.put(content_, {last, match.end});
      at = match.end;
    }
    rewrite.keep({at, static_cast<uint32_t>(text.bytes().size())});
    finish(rewrite, text);
  }

 private:
  std::shared_ptr<const Pattern> pattern_;
  std::string content_;
};

class ByteLevel final : public Step {
 public:
  void apply(Text& text) const override {
    Rewrite rewrite(text);
    std::string encoded;
    for_points(text.bytes(), [&](uint32_t, Span place) {
      encoded.clear();
      for (const char byte : text.bytes(place))
        append_utf8(encoded, kByteAlphabet[static_cast<uint8_t>(byte)]);
      rewrite.put(encoded, place);
    });
    finish(rewrite, text);
  }
};

bool nmt_removes(uint32_t p) {
  return (p >= 1 && p <= 8) || p == 0xb || (p >= 0xe && p <= 0x1f) || p == 0x7f || p == 0x8f ||
         p == 0x9f;
}
bool nmt_makes_space(uint32_t p) {
  return p == 9 || p == 0xa || p == 0xc || p == 0xd || p == 0x1680 ||
         (p >= 0x200b && p <= 0x200f) || p == 0x2028 || p == 0x2029 || p == 0x2581 ||
         p == 0xfeff || p == 0xfffd;
}

class Bert final : public Step {
 public:
  explicit Bert(const BertOptions& options) : options_(options), lowercase_(lowercase()) {}
  void apply(Text& text) const override {
    if (options_.clean_text || options_.chinese_spaces) clean(text);
    if (options_.strip_accents && !is_ascii(text.bytes())) {
      normalize(NormalForm::nfd, text);
      accents_->apply(text);
    }
    if (options_.lowercase) lowercase_->apply(text);
  }

 private:
  void clean(Text& text) const {
    Rewrite rewrite(text);
    for_points(text.bytes(), [&](uint32_t point, Span place) {
      const uint8_t flags = bert_flags(point);
      if (options_.clean_text && (flags & kRemoved)) return;
      if (options_.clean_text && (flags & kToSpace)) return rewrite.put(" ", place);
      const bool spaced = options_.chinese_spaces && (flags & kChinese);
      if (spaced) rewrite.put(" ", place);
      rewrite.keep(place);
      if (spaced) rewrite.put(" ", place);
    });
    finish(rewrite, text);
  }

  BertOptions options_;
  StepPointer lowercase_;
  StepPointer accents_ = map_points([](uint32_t point, std::string&) {
    return (bert_flags(point) & kAccent) != 0;  // non-spacing marks alone
  });
};

}  // namespace

StepPointer form(NormalForm form) { return std::make_unique<Form>(form); }

StepPointer lowercase() {
  return map_points([](uint32_t point, std::string& encoded) {
    if (!(bert_flags(point) & kCased)) return false;
    for (const uint32_t part : tokenizers::lowercase(point)) append_utf8(encoded, part);
    return true;
  });
}

StepPointer strip(bool left, bool right) { return std::make_unique<Strip>(left, right); }

StepPointer strip_accents() {
  return map_points([](uint32_t point, std::string&) { return point >= 0x80 && is_mark(point); });
}

StepPointer nmt() {
  return map_points([](uint32_t point, std::string& encoded) {
    if (nmt_makes_space(point)) encoded += ' ';
    return nmt_removes(point) || nmt_makes_space(point);
  });
}

StepPointer prepend(std::string content) { return std::make_unique<Prepend>(std::move(content)); }

StepPointer replace(std::string literal, std::string content) {
  return std::make_unique<ReplaceLiteral>(std::move(literal), std::move(content));
}
StepPointer replace(std::shared_ptr<const Pattern> pattern, std::string content) {
  return std::make_unique<ReplacePattern>(std::move(pattern), std::move(content));
}

StepPointer byte_level() { return std::make_unique<ByteLevel>(); }

StepPointer bert(const BertOptions& options) { return std::make_unique<Bert>(options); }

}  // namespace lowbit::tokenizers::normalizers
