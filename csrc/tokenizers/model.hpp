// What turns the words of a text into tokens.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "tokenizers/id_buffer.hpp"

namespace lowbit::tokenizers {

// A token and the bytes of the word that it stands for.
struct Piece {
  int32_t id;
  int32_t begin, end;
};

inline void append_ids(const std::vector<Piece>& pieces, IdBuffer& ids) {
  int32_t* out = ids.room(pieces.size());
  for (const Piece& piece : pieces) *out++ = piece.id;
  ids.advance(pieces.size());
}

struct Spelling {
  std::vector<Piece> pieces;
  double score = 0;
};

struct Sampling;

// Immutable, so that any number of threads may use one.
class Model {
 public:
  virtual ~Model() = default;

  // Appends the tokens of a word in order. Any bytes are a word; what cannot be spelled becomes
  // what the model has for it: unknown tokens, bytes, or nothing.
  virtual void encode(std::string_view word, std::vector<Piece>& pieces) const = 0;

  // Appends the ids alone, of a word so long that it is not kept: a model may do without pieces,
  // which take three times the memory of ids.
  virtual void encode_ids(std::string_view word, IdBuffer& ids) const {
    std::vector<Piece> pieces;
    encode(word, pieces);
    append_ids(pieces, ids);
  }

  // As `encode`, with a random spelling, a function of the word, the sampling and this seed. Models
  // that know one spelling of a word give that.
  virtual void sample(std::string_view word, const Sampling&, uint64_t,
                      std::vector<Piece>& pieces) const {
    encode(word, pieces);
  }

  // The `count` best spellings, or all, in descending order of their scores.
  virtual std::vector<Spelling> nbest(std::string_view, int64_t) const {
    throw ArgumentError("Tokenizer: this model has no scores to order spellings by");
  }
};

}  // namespace lowbit::tokenizers
