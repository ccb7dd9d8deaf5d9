// Random spellings: what of them is asked for, and which random numbers a word gets.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/random.hpp"
#include "tokenizers/id_buffer.hpp"
#include "tokenizers/model.hpp"
#include "tokenizers/text.hpp"

namespace lowbit::tokenizers {

struct Sampling {
  float dropout = 0;        // of byte-pair encoding: probability that a merge is passed over
  double alpha = 0;         // of the unigram model: spellings are as probable as exp(alpha * score)
  int64_t nbest_size = -1;  // among so many of the best; negative: among all
  uint64_t seed = 0;
  uint64_t side = 0;  // 1: these texts are the second ones of pairs
};

// Spells the words of one text, at random if that is asked for. The random numbers of a word depend
// on the seed, the row of its text in the batch and its place there alone: not on threads.
class Speller {
 public:
  Speller(const Model& model, const Sampling* sampling, uint64_t row)
      : model_(model), sampling_(sampling), row_(row) {}

  void operator()(std::string_view word, uint32_t number, std::vector<Piece>& pieces) const {
    if (!sampling_) return model_.encode(word, pieces);
    const uint64_t text = 2 * row_ + sampling_->side;
    const Philox random(sampling_->seed, text << 32 | number);
    model_.sample(word, *sampling_, uint64_t{random.word[0]} << 32 | random.word[1], pieces);
  }

 private:
  const Model& model_;
  const Sampling* sampling_;
  uint64_t row_;
};

// Appends the ids of a text; no word is remembered.
struct SampledSink {
  const Speller& spell;
  IdBuffer& ids;
  std::vector<Piece> pieces = {};
  uint32_t number = 0;

  void words(Text& text) {
    for (const Span word : text.pieces) {
      if (word.begin == word.end) continue;
      pieces.clear();
      spell(text.bytes(word), number++, pieces);
      for (const Piece& piece : pieces) ids.append(&piece.id, 1);
    }
  }
  void token(int32_t id, Span, std::string_view) {
    ids.append(&id, 1);
    ++number;
  }
};

}  // namespace lowbit::tokenizers
