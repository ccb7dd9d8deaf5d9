// WordPiece vocabularies learned from counted words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tokenizers/training/progress.hpp"
#include "tokenizers/training/word_counts.hpp"

namespace lowbit::tokenizers {

struct WordPieceTrainerOptions {
  int64_t vocab_size = 30000;
  int64_t min_frequency = 0;  // pairs that are rarer are not merged
  std::vector<std::string> special_tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  std::vector<std::string> initial_alphabet;
  std::optional<int64_t> limit_alphabet;
  std::string continuing_prefix = "##";
  std::optional<int64_t> max_token_length;
};

// The tokens that byte-pair encoding of characters makes, by id: special tokens, the alphabet, its
// characters inside of words, then merges from the most frequent on.
std::vector<std::string> train_wordpiece(const std::vector<CountedWord>& words,
                                         const WordPieceTrainerOptions& options,
                                         const Progress& progress = {});

}  // namespace lowbit::tokenizers
