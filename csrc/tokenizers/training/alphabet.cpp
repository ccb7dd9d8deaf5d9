#include "tokenizers/training/alphabet.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <tuple>
#include <unordered_map>

#include "core/error.hpp"
#include "tokenizers/training/packed_character.hpp"

namespace lowbit::tokenizers {
namespace {

// Gives tokens their ids.
class Numbering {
 public:
  Numbering(const std::vector<std::string>& special_tokens, std::vector<std::string>& tokens)
      : tokens_(tokens) {
    for (const std::string& token : special_tokens) number(token);
  }
  int32_t number(const std::string& token) {
    const auto [at, is_new] = ids_.emplace(token, static_cast<int32_t>(tokens_.size()));
    if (is_new) tokens_.push_back(token);
    return at->second;
  }

 private:
  std::vector<std::string>& tokens_;
  std::unordered_map<std::string, int32_t> ids_;
};

// A character and where in its word it is, as far as that is marked.
struct Form {
  Packed character;
  bool continuing, last;
  int64_t count = 0;
  int32_t id = kDropped;
  static constexpr int32_t kDropped = -1;
};

// Numbers forms as they are met.
class Forms {
 public:
  Forms() { std::fill(std::begin(ascii_), std::end(ascii_), kUnmet); }

  uint32_t find_or_add(Packed character, bool continuing, bool last) {
    const uint32_t place = continuing * 2u + last;
    uint32_t& at = character < Packed{0x80} << 24
                       ? ascii_[character >> 24 << 2 | place]
                       : others_.emplace(uint64_t{character} << 2 | place, kUnmet).first->second;
    if (at == kUnmet) {
      at = static_cast<uint32_t>(all.size());
      all.push_back({character, continuing, last});
    }
    return at;
  }

  std::vector<Form> all;

 private:
  static constexpr uint32_t kUnmet = UINT32_MAX;
  uint32_t ascii_[128 * 4];
  std::unordered_map<uint64_t, uint32_t> others_;
};

// The characters of the corpus and the initial ones, less the rarest ones beyond the limit.
std::vector<Packed> kept_characters(const std::vector<Form>& forms,
                                    const AlphabetOptions& options) {
  std::unordered_map<Packed, int64_t> counts;
  for (const Form& form : forms) counts[form.character] += form.count;
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
  return kept;
}

// The alphabet is numbered by code point; what marks make of it, from the most frequent form on:
// neither depends on the order of the words.
void number_forms(std::vector<Form>& forms, const AlphabetOptions& options, Numbering& numbering) {
  const std::vector<Packed> kept = kept_characters(forms, options);
  for (const Packed character : kept) numbering.number(unpack(character));
  std::vector<Form*> frequent_first;
  for (Form& form : forms)
    if (std::binary_search(kept.begin(), kept.end(), form.character))
      frequent_first.push_back(&form);
  std::sort(frequent_first.begin(), frequent_first.end(), [](const Form* a, const Form* b) {
    if (a->count != b->count) return a->count > b->count;
    return std::tie(a->character, a->continuing, a->last) <
           std::tie(b->character, b->continuing, b->last);
  });
  for (Form* const form : frequent_first) {
    std::string text = unpack(form->character);
    if (form->continuing) text.insert(0, options.continuing_prefix);
    if (form->last) text += options.end_of_word_suffix;
    form->id = numbering.number(text);
  }
}

void spell_characters(const std::vector<CountedWord>& words, const AlphabetOptions& options,
                      Numbering& numbering, SpelledWords& out) {
  const bool has_prefix = !options.continuing_prefix.empty();
  const bool has_suffix = !options.end_of_word_suffix.empty();
  Forms forms;
  std::vector<uint32_t> spelled;
  for (const CountedWord& word : words)
    for (size_t at = 0; at < word.bytes.size();) {
      const bool continuing = has_prefix && at > 0;
      const Packed character = next_packed(word.bytes, at);
      spelled.push_back(
          forms.find_or_add(character, continuing, has_suffix && at == word.bytes.size()));
      forms.all[spelled.back()].count += word.count;
    }
  number_forms(forms.all, options, numbering);
  size_t next = 0;
  for (const CountedWord& word : words) {
    for (size_t at = 0; at < word.bytes.size(); next_packed(word.bytes, at))
      if (const int32_t id = forms.all[spelled[next++]].id; id != Form::kDropped)
        out.symbols.push_back(id);
    out.ends.push_back(out.symbols.size());
  }
}

// GPT-2 writes bytes that are visible Latin-1 characters as these, the others from U+0100 on.
bool is_visible(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);
}

void spell_bytes(const std::vector<CountedWord>& words, Alphabet kind,
                 Numbering& numbering, SpelledWords& out) {
  int32_t ids[256];
  for (const bool visible : {true, false})
    for (int byte = 0; byte < 256; ++byte) {
      const bool first = kind == Alphabet::bytes || is_visible(byte);
      if (first == visible) ids[byte] = numbering.number(std::string(1, static_cast<char>(byte)));
    }
  for (const CountedWord& word : words) {
    for (const char byte : word.bytes) out.symbols.push_back(ids[static_cast<uint8_t>(byte)]);
    out.ends.push_back(out.symbols.size());
  }
}

}  // namespace

SpelledWords spell(const std::vector<CountedWord>& words, const AlphabetOptions& options,
                   const char* caller) {
  SpelledWords out;
  Numbering numbering(options.special_tokens, out.tokens);
  if (options.kind == Alphabet::characters) {
    check(!options.limit || *options.limit >= 1, caller, ": limit_alphabet is ",
          options.limit.value_or(0), "; it is at least 1, or none");
    spell_characters(words, options, numbering, out);
  } else {
    check(!options.limit && options.initial.empty() && options.continuing_prefix.empty() &&
              options.end_of_word_suffix.empty(),
          caller, ": limit_alphabet, initial_alphabet, a continuing prefix and an end-of-word "
                  "suffix are for an alphabet of characters, not of bytes");
    spell_bytes(words, options.kind, numbering, out);
  }
  return out;
}

}  // namespace lowbit::tokenizers
