#include "tokenizers/sentencepiece_normalizer.hpp"

#include <array>

#include "core/error.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {
namespace {

constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";  // U+FFFD

DoubleArray trie_of(const std::vector<std::string>& symbols) {
  std::vector<DoubleArray::Entry> entries;
  for (size_t i = 0; i < symbols.size(); ++i)
    entries.push_back({symbols[i], static_cast<int32_t>(i)});
  return DoubleArray(entries);
}

}  // namespace

SentencePieceNormalizer::SentencePieceNormalizer(std::string_view charsmap,
                                                 const std::vector<std::string>& user_defined,
                                                 SentencePieceOptions options)
    : map_(charsmap), options_(options), user_defined_(trie_of(user_defined)) {
  std::array<bool, 256> starts_symbol{};
  for (const std::string& symbol : user_defined)
    if (!symbol.empty()) starts_symbol[static_cast<uint8_t>(symbol[0])] = true;
  std::string character;
  for (uint32_t point = 1; point < plain_.size(); ++point) {
    character.clear();
    append_utf8(character, point);
    const auto first = static_cast<uint8_t>(character[0]);
    const bool replaced = point < 0x80 ? !map_.keeps(first) || map_.starts_ascii_entry(first)
                                       : map_.starts_entry(point);
    plain_[point] = point != ' ' && !replaced && !starts_symbol[first];
  }
  plain_space_ = !map_.starts_entry(' ') && !starts_symbol[' '];
}

// One text on its way through.
class SentencePieceNormalizer::Run {
 public:
  Run(const SentencePieceNormalizer& normalizer, std::string_view text, std::string& out,
      Origins* origins)
      : normalizer_(normalizer),
        options_(normalizer.options_),
        text_(text),
        out_(out),
        origins_(origins),
        first_(out.size()),
        space_(options_.escape_whitespaces ? kMetaspace : " ") {}

  void run() {
    if (options_.remove_extra_whitespaces) skip_spaces();
    if (at_ == text_.size()) return;
    out_.reserve(out_.size() + text_.size() + text_.size() / 2);
    if (origins_) origins_->begin.reserve(origins_->begin.size() + out_.capacity() - out_.size());
    if (options_.add_dummy_prefix && !options_.treat_whitespace_as_suffix) put(space_);
    bool behind_space = options_.remove_extra_whitespaces;
    while (at_ < text_.size()) {
      if (const size_t length = plain_run(); length > 0) {
        put_plain(length);
        behind_space = false;
        continue;
      }
      if (text_[at_] == ' ' && normalizer_.plain_space_) {
        if (!behind_space) put(space_);
        behind_space = options_.remove_extra_whitespaces;
        ++at_;
        continue;
      }
      auto [length, part] = next();
      while (behind_space && part.starts_with(' ')) part.remove_prefix(1);
      for (size_t i = 0; i < part.size(); ++i) put(part[i] == ' ' ? space_ : part.substr(i, 1));
      if (!part.empty()) behind_space = options_.remove_extra_whitespaces && part.ends_with(' ');
      at_ += length;
    }
    if (options_.remove_extra_whitespaces) drop_spaces();
    if (options_.add_dummy_prefix && options_.treat_whitespace_as_suffix) put(space_);
    if (origins_) finish();
  }

 private:
  // The text that is replaced next, and by what.
  struct Part {
    size_t length;
    std::string_view text;
  };
  Part next() const {
    const std::string_view rest = text_.substr(at_);
    size_t symbol = 0;
    normalizer_.user_defined_.prefixes(rest, [&](size_t length, int32_t id) {
      if (id != DoubleArray::kNone) symbol = length;
    });
    if (symbol > 0) return {symbol, rest.substr(0, symbol)};
    const CharsMap::Match match = normalizer_.map_.longest(rest);
    if (match.length > 0) return {match.length, match.replacement};
    // An entry may end within a character.
    if (!starts_point(rest[0])) return {1, kReplacementCharacter};
    size_t length = 0;
    next_point(rest, length);
    return {length, rest.substr(0, length)};
  }

  // Only a part that is a space and nothing else counts here.
  void skip_spaces() {
    while (at_ < text_.size()) {
      const auto [length, part] = next();
      if (part != " ") break;
      at_ += length;
    }
  }

  void drop_spaces() {
    while (std::string_view(out_).substr(first_).ends_with(space_)) {
      out_.resize(out_.size() - space_.size());
      if (!origins_) continue;
      const size_t left = origins_->begin.size() - space_.size();
      at_ = origins_->begin[left];
      origins_->begin.resize(left);
    }
  }

  // Bytes of the plain characters from here on, without one that what follows it may change.
  size_t plain_run() const {
    size_t at = at_;
    bool behind_ascii = false;
    while (at < text_.size()) {
      size_t behind = at;
      const uint32_t point = next_point(text_, behind);
      if (point >= 0x80 && behind_ascii) return at - 1 - at_;
      if (point >= normalizer_.plain_.size() || !normalizer_.plain_[point]) break;
      behind_ascii = point < 0x80;
      at = behind;
    }
    return at - at_;
  }

  void put_plain(size_t length) {
    out_ += text_.substr(at_, length);
    if (origins_) {
      const size_t before = origins_->begin.size();
      origins_->begin.resize(before + length);
      // Each byte of a character tells where the character begins.
      for (size_t i = 0; i < length; ++i) {
        const bool starts = starts_point(text_[at_ + i]);
        origins_->begin[before + i] =
            starts ? static_cast<uint32_t>(at_ + i) : origins_->begin[before + i - 1];
      }
    }
    at_ += length;
  }

  void put(std::string_view bytes) {
    out_ += bytes;
    if (origins_)
      origins_->begin.insert(origins_->begin.end(), bytes.size(), static_cast<uint32_t>(at_));
  }

  // A byte ends where the next one begins that stands for other bytes of the text; so all bytes of
  // a character have one place, and the prefix has that of the first character.
  void finish() {
    const auto& begin = origins_->begin;
    auto& end = origins_->end;
    const size_t first = end.size();
    end.resize(begin.size());
    auto behind = static_cast<uint32_t>(at_);
    for (size_t i = begin.size(); i > first; --i) {
      if (i < begin.size() && begin[i] > begin[i - 1]) behind = begin[i];
      end[i - 1] = behind;
    }
  }

  const SentencePieceNormalizer& normalizer_;
  const SentencePieceOptions& options_;
  const std::string_view text_;
  std::string& out_;
  Origins* const origins_;
  const size_t first_;
  const std::string_view space_;
  size_t at_ = 0;
};

bool SentencePieceNormalizer::apply_to_word(std::string& word) const {
  for (const char byte : word)
    if (!plain_[static_cast<uint8_t>(byte)]) return false;
  if (options_.treat_whitespace_as_suffix) return false;
  if (options_.add_dummy_prefix) word.insert(0, options_.escape_whitespaces ? kMetaspace : " ");
  return true;
}

bool SentencePieceNormalizer::takes_alone(char space) const { return map_.takes_alone(space); }

void SentencePieceNormalizer::normalize(std::string_view text, std::string& out,
                                        Origins* origins) const {
  check(text.size() <= UINT32_MAX, "SentencePieceNormalizer: a text has ", text.size(),
        " bytes; less than 4 GB are possible");
  Run(*this, text, out, origins).run();
}

}  // namespace lowbit::tokenizers
