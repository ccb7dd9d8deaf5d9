// What words are made of before the first merge.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tokenizers/training/word_counts.hpp"

namespace lowbit::tokenizers {

enum class Alphabet {
  byte_level,  // all 256 bytes, numbered by the visible characters that GPT-2 writes for them
  bytes,       // all 256 bytes, numbered by value
  characters,  // the code points that occur, numbered by value
};

struct AlphabetOptions {
  Alphabet kind = Alphabet::byte_level;
  std::vector<std::string> special_tokens;  // come first, as they are
  // Of `characters` only: some that are in though the corpus lacks them; the most frequent ones to
  // keep (the others are dropped from their words); what marks all but the first character of a
  // word, and the last one.
  std::vector<std::string> initial;
  std::optional<int64_t> limit;
  std::string continuing_prefix;
  std::string end_of_word_suffix;
};

struct SpelledWords {
  std::vector<std::string> tokens;  // special tokens, alphabet, marked forms of it
  std::vector<int32_t> symbols;     // of all words, back to back
  std::vector<uint64_t> ends;       // by word
};

// `caller` is named in errors.
SpelledWords spell(const std::vector<CountedWord>& words, const AlphabetOptions& options,
                   const char* caller);

}  // namespace lowbit::tokenizers
