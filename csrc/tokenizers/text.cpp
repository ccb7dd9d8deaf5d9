#include "tokenizers/text.hpp"

#include <algorithm>
#include <limits>

#include "core/error.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {
namespace {

// A character becomes 18 at most in Unicode's forms; the rest is for what is put before a text.
constexpr size_t kGrowth = 256, kExtra = 1 << 20;

}  // namespace

void Text::reset(std::string_view original, uint32_t shift, bool tracked) {
  bytes_ = original;
  longest_ = std::min<size_t>(kGrowth * original.size() + kExtra,
                              std::numeric_limits<uint32_t>::max());
  shift_ = shift;
  tracked_ = tracked;
  const auto size = static_cast<uint32_t>(original.size());
  pieces.assign(1, {0, size});
  if (!tracked) return;
  begins_.resize(size);
  ends_.resize(size);
  for (uint32_t i = 0, begin = 0; i < size; begin = i) {
    while (++i < size && !starts_point(original[i])) {
    }
    for (uint32_t k = begin; k < i; ++k) begins_[k] = shift + begin, ends_[k] = shift + i;
  }
}

void Text::reset(const Text& other, Span stretch) {
  storage_ = other.bytes(stretch);
  bytes_ = storage_;
  longest_ = other.longest_;
  shift_ = other.shift_ + stretch.begin;
  tracked_ = other.tracked_;
  pieces.assign(1, {0, stretch.end - stretch.begin});
  if (!tracked_) return;
  const auto cut = [&](const std::vector<uint32_t>& v) {
    return std::vector<uint32_t>(v.begin() + stretch.begin, v.begin() + stretch.end);
  };
  begins_ = cut(other.begins_);
  ends_ = cut(other.ends_);
}

Span Text::origin(Span s) const {
  if (s.begin == s.end) return {0, 0};
  return {begins_[s.begin], ends_[s.end - 1]};
}

Rewrite::Rewrite(Text& text) : text_(text) {
  text_.spare_.clear();
  text_.spare_begins_.clear();
  text_.spare_ends_.clear();
}

void Rewrite::keep(Span from) {
  text_.spare_ += text_.bytes(from);
  if (!text_.tracked_) return;
  const auto add = [&](std::vector<uint32_t>& to, const std::vector<uint32_t>& v) {
    to.insert(to.end(), v.begin() + from.begin, v.begin() + from.end);
  };
  add(text_.spare_begins_, text_.begins_);
  add(text_.spare_ends_, text_.ends_);
}

void Rewrite::put(std::string_view bytes, Span from) {
  check(text_.spare_.size() + bytes.size() <= text_.longest_, "Tokenizer: the file's steps make ",
        "more than ", text_.longest_, " bytes of a text; is the file broken?");
  text_.spare_ += bytes;
  if (!text_.tracked_) return;
  const Span origin = text_.origin(from);
  text_.spare_begins_.insert(text_.spare_begins_.end(), bytes.size(), origin.begin);
  text_.spare_ends_.insert(text_.spare_ends_.end(), bytes.size(), origin.end);
}

char* Rewrite::room(size_t most) {
  const size_t size = text_.spare_.size();
  text_.spare_.resize(size + most);
  return text_.spare_.data() + size;
}

void Rewrite::wrote(const char* end) {
  text_.spare_.resize(static_cast<size_t>(end - text_.spare_.data()));
}

void Rewrite::finish() {
  text_.storage_.swap(text_.spare_);
  text_.bytes_ = text_.storage_;
  text_.begins_.swap(text_.spare_begins_);
  text_.ends_.swap(text_.spare_ends_);
}

}  // namespace lowbit::tokenizers
