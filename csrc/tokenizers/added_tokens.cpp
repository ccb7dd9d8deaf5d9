#include "tokenizers/added_tokens.hpp"

#include <utility>

#include "core/error.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {
namespace {

constexpr size_t kSearched = 4;    // bytes that are searched for one by one
constexpr size_t kStretch = 1024;  // of the text

uint32_t point_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (!starts_point(text[at])) --at;
  return next_point(text, at);
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && is_word_character(point_before(text, begin))) return false;
  return end == text.size() || !is_word_character(next_point(text, end));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    check(!tokens_[i].content.empty(), "Tokenizer: an added token is empty");
    trie_.insert(tokens_[i].content, static_cast<int32_t>(i));
    const char first = tokens_[i].content[0];
    if (!std::exchange(starts_[static_cast<uint8_t>(first)], true)) start_bytes_ += first;
  }
}

size_t AddedTokens::next_start(std::string_view text, size_t at) const {
  if (start_bytes_.size() == 1) return std::min(text.find(start_bytes_[0], at), text.size());
  // Stretch by stretch, so that a frequent byte does not make the search for a rare one go on to
  // the end of the text again and again.
  while (start_bytes_.size() <= kSearched && at < text.size()) {
    const std::string_view stretch = text.substr(at, kStretch);
    size_t found = stretch.size();
    for (const char byte : start_bytes_) found = std::min(found, stretch.find(byte));
    at += found;
    if (found < stretch.size()) return at;
  }
  while (at < text.size() && !starts_[static_cast<uint8_t>(text[at])]) ++at;
  return at;
}

AddedTokens::Found AddedTokens::find(std::string_view text, size_t from,
                                     const Specials& specials) const {
  if (tokens_.empty()) return {};
  for (size_t i = from; (i = next_start(text, i)) < text.size(); ++i) {
    const Trie::Match match = trie_.longest(text.substr(i));
    if (match.id == Trie::kNone) continue;
    const AddedToken& token = tokens_[static_cast<size_t>(match.id)];
    Found found{i, i + match.length, token.id};
    if ((token.special && !specials.read(token.id)) ||
        (token.single_word && !stands_alone(text, found.begin, found.end))) {
      i = found.end - 1;  // the reference goes on behind a match that it rejects
      continue;
    }
    while (token.lstrip && found.begin > from && is_space(point_before(text, found.begin))) {
      --found.begin;
      while (!starts_point(text[found.begin])) --found.begin;
    }
    while (token.rstrip && found.end < text.size()) {
      size_t next = found.end;
      if (!is_space(next_point(text, next))) break;
      found.end = next;
    }
    return found;
  }
  return {};
}

}  // namespace lowbit::tokenizers
