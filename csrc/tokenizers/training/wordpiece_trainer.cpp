#include "tokenizers/training/wordpiece_trainer.hpp"

#include "core/error.hpp"
#include "tokenizers/training/bpe_trainer.hpp"

namespace lowbit::tokenizers {

std::vector<std::string> train_wordpiece(const std::vector<CountedWord>& words,
                                         const WordPieceTrainerOptions& options,
                                         const Progress& progress) {
  check(!options.continuing_prefix.empty(),
        "WordPieceTrainer: continuing_prefix is empty; pieces inside of words need one, as ##");
  BpeTrainerOptions bpe;
  bpe.vocab_size = options.vocab_size;
  bpe.min_frequency = options.min_frequency;
  bpe.max_token_length = options.max_token_length;
  bpe.alphabet = {Alphabet::characters,   options.special_tokens,    options.initial_alphabet,
                  options.limit_alphabet, options.continuing_prefix, ""};
  return train_bpe(words, bpe, progress, "WordPieceTrainer").tokens;
}

}  // namespace lowbit::tokenizers
