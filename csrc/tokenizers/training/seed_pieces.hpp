// The substrings of a corpus that may become pieces of a unigram model.
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizers/training/piece_text.hpp"

namespace lowbit::tokenizers {

// A substring and where it ends: order[begin] to order[end] of SeedPieces.
struct SeedPiece {
  uint32_t begin, end;
  uint32_t length;  // characters
  int64_t count;
};

struct SeedPieces {
  std::vector<uint32_t> order;    // the nodes of the text, sorted by the characters up to them
  std::vector<SeedPiece> pieces;  // all single characters, then longer ones by place
};

// Of the substrings of up to `max_length` characters that occur twice or more, and never with the
// same character before or behind them, the `limit` ones that cover most of the corpus.
SeedPieces find_seed_pieces(const PieceText& text, int64_t limit, int64_t max_length);

}  // namespace lowbit::tokenizers
