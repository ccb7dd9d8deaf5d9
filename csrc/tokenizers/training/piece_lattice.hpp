// All ways to cut the words of a corpus into pieces.
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizers/training/seed_pieces.hpp"

namespace lowbit::tokenizers {

// The pieces that begin at each place of the text lie back to back, short ones first: about 4 bytes
// for each piece at each place of the distinct words.
class PieceLattice {
 public:
  PieceLattice(const PieceText& text, const SeedPieces& seeds);

  // How often each piece is expected, the cuts of a word being as probable as the product of their
  // pieces (forward-backward algorithm). `scores` are logarithms of probabilities. The same bits on
  // any number of threads.
  void expect(const std::vector<double>& scores, std::vector<double>& expected) const;

  // The best cut of the piece of `length` characters at `place` into other pieces.
  void best_cut(uint32_t place, uint32_t length, const std::vector<double>& scores,
                std::vector<uint32_t>& pieces) const;

  // The number of each piece becomes `numbers[piece]`; those of kGone leave.
  static constexpr uint32_t kGone = UINT32_MAX;
  void renumber(const std::vector<uint32_t>& numbers);

  static constexpr int kLengthBits = 10;
  static constexpr int64_t kMostPieces = int64_t{1} << (32 - kLengthBits);

 private:
  struct Edge {
    Edge(uint32_t piece, uint32_t length) : packed(piece << kLengthBits | length) {}
    Edge() = default;
    uint32_t piece() const { return packed >> kLengthBits; }
    uint32_t length() const { return packed & ((1u << kLengthBits) - 1); }
    uint32_t packed;
  };
  struct Sums {
    std::vector<double> forward, backward;  // by place in a word
    std::vector<double> weights;            // probabilities of the edges, in their order
    std::vector<int> scaled;                // how often `forward` was scaled until there
    std::vector<double> expected;           // by piece
  };
  // Some segments, and the boundary behind each; their edges.
  struct Part {
    size_t first_segment, last_segment;
    uint32_t begin, end;  // places
    std::vector<Edge> edges;
  };
  void cut_parts();
  Part& part_of(uint32_t place);
  const Part& part_of(uint32_t place) const;
  void expect_part(const Part& part, const std::vector<double>& probabilities,
                   uint32_t safe_length, Sums& sums) const;
  void sum_forward(const PieceText::Segment& segment, const Edge* edges,
                   const std::vector<double>& probabilities, bool safe, Sums& sums) const;
  void sum_backward(const PieceText::Segment& segment, const Edge* edges, bool safe,
                    Sums& sums) const;

  const PieceText& text_;
  std::vector<Part> parts_;
  std::vector<uint64_t> first_edge_;  // by place, in the edges of its part
  uint32_t longest_;                  // length of a piece
};

}  // namespace lowbit::tokenizers
