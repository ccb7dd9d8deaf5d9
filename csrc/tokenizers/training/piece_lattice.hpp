// All ways to cut the words of a corpus into pieces.
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizers/training/seed_pieces.hpp"

namespace lowbit::tokenizers {

// The pieces that begin at each place of the text lie back to back, short ones first: about 8 bytes
// for each piece at each place of the distinct words.
class PieceLattice {
 public:
  PieceLattice(const PieceText& text, const SeedPieces& seeds);

  // How often each piece is expected, the cuts of a word being as probable as the product of their
  // pieces (forward-backward algorithm). `scores` are logarithms of probabilities.
  void expect(const std::vector<double>& scores, std::vector<double>& expected) const;

  // The best cut of the piece of `length` characters at `place` into other pieces.
  void best_cut(uint32_t place, uint32_t length, const std::vector<double>& scores,
                std::vector<uint32_t>& pieces) const;

  // The number of each piece becomes `numbers[piece]`; those of kGone leave.
  static constexpr uint32_t kGone = UINT32_MAX;
  void renumber(const std::vector<uint32_t>& numbers);

 private:
  struct Edge {
    uint32_t piece, length;
  };
  struct Sums {
    std::vector<double> forward, backward;  // by place in a word
    std::vector<int> scaled;                // how often `forward` was scaled until there
  };
  void sum_forward(const PieceText::Segment& segment, const std::vector<double>& probabilities,
                   Sums& sums) const;
  void sum_backward(const PieceText::Segment& segment, const std::vector<double>& probabilities,
                    Sums& sums, std::vector<double>& expected) const;

  const PieceText& text_;
  std::vector<Edge> edges_;
  std::vector<uint64_t> first_edge_;  // by place
  uint32_t longest_;                  // length of a piece
};

}  // namespace lowbit::tokenizers
