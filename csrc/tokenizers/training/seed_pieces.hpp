// The substrings of a corpus that may become pieces of a unigram model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizers/training/word_counts.hpp"

namespace lowbit::tokenizers {

// Words as numbers of characters, each with a boundary before and behind.
struct PieceText {
  static constexpr uint32_t kBoundary = 0;
  struct Segment {
    uint32_t begin, end;
    int64_t count;
  };
  std::vector<std::string> characters;  // characters[0] stands for the boundary
  std::vector<uint32_t> symbols;
  std::vector<Segment> segments;
};

// Words are cut at the rarest characters, those beyond `coverage` of all; but for `required` ones.
PieceText read_characters(const std::vector<CountedWord>& words, double coverage,
                          const std::vector<std::string>& required);

// A substring and where it occurs: order[begin] to order[end] of SeedPieces.
struct SeedPiece {
  uint32_t begin, end;
  uint32_t length;  // characters
  int64_t count;
};

struct SeedPieces {
  std::vector<uint32_t> order;    // the places of all characters, sorted by what follows
  std::vector<SeedPiece> pieces;  // all single characters, then longer ones
};

// Of the substrings of up to `max_length` characters that occur twice or more, and never with the
// same character before or behind them, the `limit` ones that cover most of the corpus.
SeedPieces find_seed_pieces(const PieceText& text, int64_t limit, int64_t max_length);

}  // namespace lowbit::tokenizers
