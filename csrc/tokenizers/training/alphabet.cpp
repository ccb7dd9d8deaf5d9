#include "tokenizers/training/alphabet.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "core/error.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {
namespace {

// The UTF-8 of a character, first byte highest: ordered as the code points are.
using Packed = uint32_t;

// The character at `at`, which is moved behind it. A stray byte is a character.
Packed next_packed(std::string_view word, size_t& at) {
  Packed packed = static_cast<Packed>(static_cast<uint8_t>(word[at++])) << 24;
  for (int shift = 16; shift >= 0 && at < word.size() && !starts_point(word[at]); shift -= 8)
    packed |= static_cast<Packed>(static_cast<uint8_t>(word[at++])) << shift;
  return packed;
}

std::string unpack(Packed packed) {
  std::string bytes(1, static_cast<char>(packed >> 24));
  for (packed <<= 8; packed != 0; packed <<= 8) bytes += static_cast<char>(packed >> 24);
  return bytes;
}

// Gives tokens their numbers, and words the numbers of their characters.
class Speller {
 public:
  Speller(const AlphabetOptions& options, SpelledWords& out)
      : out_(out), prefix_(options.continuing_prefix), suffix_(options.end_of_word_suffix) {
    for (const std::string& token : options.special_tokens) number(token);
  }

  int32_t number(const std::string& token) {
    const auto [at, is_new] = ids_.emplace(token, static_cast<int32_t>(out_.tokens.size()));
    if (is_new) out_.tokens.push_back(token);
    return at->second;
  }

  void number_characters(const std::vector<Word>& words, const AlphabetOptions& options) {
    std::unordered_map<Packed, int64_t> counts;
    for (const Word& word : words)
      for (size_t at = 0; at < word.bytes.size();)
        counts[next_packed(word.bytes, at)] += word.count;
    for (const std::string& text : options.initial)
      for (size_t at = 0; at < text.size();)
        counts[next_packed(text, at)] = std::numeric_limits<int64_t>::max();

    std::vector<Packed> kept;
    for (const auto& [character, count] : counts) kept.push_back(character);
    if (options.limit && static_cast<int64_t>(kept.size()) > *options.limit) {
      std::sort(kept.begin(), kept.end(), [&](Packed a, Packed b) {
        return counts[a] != counts[b] ? counts[a] > counts[b] : a < b;
      });
      kept.resize(*options.limit);
    }
    std::sort(kept.begin(), kept.end());
    for (const Packed character : kept) {
      number(unpack(character));
      for (const Form place : {0, 1, 2, 3}) forms_[Form{character} << 2 | place] = 0;
    }
  }

  // Marked forms are numbered from the most frequent on, whatever the order of the words.
  void spell(const std::vector<Word>& words) {
    std::unordered_map<Form, int64_t> counts;
    for (const Word& word : words)
      each_form(word.bytes, [&](Form form) { counts[form] += word.count; });
    std::vector<Form> used;
    for (const auto& [form, id] : forms_)
      if (counts.contains(form)) used.push_back(form);
    std::sort(used.begin(), used.end(), [&](Form a, Form b) {
      return counts[a] != counts[b] ? counts[a] > counts[b] : a < b;
    });
    for (const Form form : used) {
      std::string text = unpack(static_cast<Packed>(form >> 2));
      if (form & kContinuing) text.insert(0, prefix_);
      if (form & kLast) text += suffix_;
      forms_[form] = number(text);
    }
    for (const Word& word : words) {
      each_form(word.bytes, [&](Form form) {
        if (const auto at = forms_.find(form); at != forms_.end())
          out_.symbols.push_back(at->second);
      });
      out_.ends.push_back(out_.symbols.size());
    }
  }

 private:
  // A character and where in its word it is.
  using Form = uint64_t;
  static constexpr Form kContinuing = 1, kLast = 2;

  template <class Visit>
  void each_form(std::string_view word, Visit visit) const {
    for (size_t at = 0; at < word.size();) {
      const Form place = at > 0 && !prefix_.empty() ? kContinuing : 0;
      const Form character = next_packed(word, at);
      const Form last = at == word.size() && !suffix_.empty() ? kLast : 0;
      visit(character << 2 | place | last);
    }
  }

  SpelledWords& out_;
  const std::string &prefix_, &suffix_;
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_map<Form, int32_t> forms_;  // of the characters that are kept
};

// GPT-2 writes bytes that are visible Latin-1 characters as these, the others from U+0100 on.
bool is_visible(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);
}

void spell_bytes(const std::vector<Word>& words, Alphabet kind, Speller& speller,
                 SpelledWords& out) {
  int32_t ids[256];
  for (const bool visible : {true, false})
    for (int byte = 0; byte < 256; ++byte) {
      const bool first = kind == Alphabet::bytes || is_visible(byte);
      if (first == visible) ids[byte] = speller.number(std::string(1, static_cast<char>(byte)));
    }
  for (const Word& word : words) {
    for (const char byte : word.bytes) out.symbols.push_back(ids[static_cast<uint8_t>(byte)]);
    out.ends.push_back(out.symbols.size());
  }
}

}  // namespace

SpelledWords spell(const std::vector<Word>& words, const AlphabetOptions& options,
                   const char* caller) {
  SpelledWords out;
  Speller speller(options, out);
  if (options.kind == Alphabet::characters) {
    check(!options.limit || *options.limit >= 1, caller, ": limit_alphabet is ",
          options.limit.value_or(0), "; it is at least 1, or none");
    speller.number_characters(words, options);
    speller.spell(words);
  } else {
    check(!options.limit && options.initial.empty() && options.continuing_prefix.empty() &&
              options.end_of_word_suffix.empty(),
          caller, ": limit_alphabet, initial_alphabet, a continuing prefix and an end-of-word "
                  "suffix are for an alphabet of characters, not of bytes");
    spell_bytes(words, options.kind, speller, out);
  }
  return out;
}

}  // namespace lowbit::tokenizers
