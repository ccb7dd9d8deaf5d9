// Byte-pair encoding learned from counted words (Sennrich et al., 2016).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokenizers/training/alphabet.hpp"
#include "tokenizers/training/progress.hpp"
#include "tokenizers/training/word_counts.hpp"

namespace lowbit::tokenizers {

// Which of equally frequent pairs is merged first.
enum class TieRule {
  ids,    // the smaller left id, then the smaller right id
  bytes,  // the lexicographically greater pair of byte strings
  first,  // the one that occurs first in the words, taken in their order
};

struct BpeTrainerOptions {
  int64_t vocab_size = 30000;
  int64_t min_frequency = 0;  // pairs that are rarer are not merged
  AlphabetOptions alphabet;
  // Tokens of this many characters or more are not made, other than by merging two characters.
  std::optional<int64_t> max_token_length;
  TieRule ties = TieRule::ids;
};

struct BpeTraining {
  std::vector<std::string> tokens;                  // by id
  std::vector<std::pair<int32_t, int32_t>> merges;  // ids, in the order to apply them
};

// Merges the most frequent pair until the vocabulary has its size or no pair is left. Two merges
// that spell the same token share its id, but for `first`, where every merge makes a token.
// `caller` is named in errors.
BpeTraining train_bpe(const std::vector<CountedWord>& words, const BpeTrainerOptions& options,
                      const Progress& progress = {}, const char* caller = "BpeTrainer");

}  // namespace lowbit::tokenizers
