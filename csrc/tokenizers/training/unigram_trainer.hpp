// Unigram language models of pieces, learned from counted words (Kudo, 2018).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizers/training/progress.hpp"
#include "tokenizers/training/word_counts.hpp"

namespace lowbit::tokenizers {

struct UnigramTrainerOptions {
  int64_t vocab_size = 8000;
  int64_t seeds_per_token = 10;    // pieces to begin with
  double shrinking_factor = 0.75;  // of the pieces are left after each pruning
  int64_t sub_iterations = 1;      // of expectation and maximization between two prunings
  int64_t max_piece_length = 16;   // characters
  double character_coverage = 1;   // of the corpus; the rarest characters beyond are unknown
  std::vector<std::string> initial_alphabet;  // characters that are in though the corpus lacks them
  std::vector<std::string> special_tokens;    // come first
  std::string unknown_token = "<unk>";        // comes before them unless it is one of them
  bool byte_fallback = false;                 // tokens <0x00> to <0xFF> follow them
};

struct UnigramTraining {
  std::vector<std::string> tokens;  // by id
  std::vector<double> scores;       // logarithms of probabilities; 0 of special and byte tokens
  int32_t unknown_id;
};

// Finds more pieces than are wanted, then alternates between estimating their probabilities and
// leaving out those whose loss costs the likelihood of the corpus least. Single characters stay.
UnigramTraining train_unigram(const std::vector<CountedWord>& words,
                              const UnigramTrainerOptions& options,
                              const Progress& progress = {});

}  // namespace lowbit::tokenizers
