// All ways to cut the words of a corpus into pieces.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tokenizers/training/cut_sums.hpp"
#include "tokenizers/training/seed_pieces.hpp"

namespace lowbit::tokenizers {

// The pieces that end at each node of the text lie back to back, short ones first: about 4 bytes
// for each piece at each node.
class PieceLattice {
 public:
  PieceLattice(const PieceText& text, const SeedPieces& seeds);

  // How often each piece is expected, the cuts of a word being as probable as the product of their
  // pieces (forward-backward algorithm). `scores` are logarithms of probabilities. The same bits on
  // any number of threads.
  void expect(const std::vector<double>& scores, std::vector<double>& expected) const;

  // The best cut of the piece of `length` characters up to `place` into other pieces.
  void best_cut(uint32_t place, uint32_t length, const std::vector<double>& scores,
                std::vector<uint32_t>& pieces) const;

  // The number of each piece becomes `numbers[piece]`; those of kGone leave.
  static constexpr uint32_t kGone = UINT32_MAX;
  void renumber(const std::vector<uint32_t>& numbers);

 private:
  struct Range {
    uint64_t first : 48, count : 16;
  };
  std::span<const PieceEdge> edges_at(uint32_t place) const {
    return {&edges_[edges_at_[place].first], edges_at_[place].count};
  }
  void expect_part(const PieceText::Part& part, CutSums& sums) const;

  const PieceText& text_;
  std::vector<PieceEdge> edges_;  // by node; after pruning, with gaps at the end of each part
  std::vector<Range> edges_at_;   // by place; those of shared places are those of the node
  uint32_t longest_ = 0;          // word
};

}  // namespace lowbit::tokenizers
