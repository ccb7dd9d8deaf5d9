// Sums over all ways to cut the words of a tree into pieces (forward-backward algorithm).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace lowbit::tokenizers {

// A piece that ends at a place.
class PieceEdge {
 public:
  static constexpr int kLengthBits = 10;
  static constexpr int64_t kMostPieces = int64_t{1} << (32 - kLengthBits);

  PieceEdge() = default;
  PieceEdge(uint32_t piece, uint32_t length) : packed_(piece << kLengthBits | length) {}
  uint32_t piece() const { return packed_ >> kLengthBits; }
  uint32_t length() const { return packed_ & ((1u << kLengthBits) - 1); }

 private:
  uint32_t packed_;
};

// Holds the path of a word in the tree. Sums from the root are kept for the nodes that the next
// word has too; what comes back from words is gathered there, and passed on with that of the last.
class CutSums {
 public:
  CutSums(const std::vector<double>& scores, uint32_t longest_word);

  // With `edges_at(depth)` for the pieces that end behind so many characters: continues the path
  // from the depth `shared` with the word before to `length`, adds the word, and leaves what is
  // deeper than `kept`.
  template <class EdgesAt>
  void add_word(EdgesAt&& edges_at, uint32_t shared, uint32_t length, uint32_t kept, double count);

  double expected(size_t piece) const { return pieces_[piece].expected; }

 private:
  struct Piece {
    double probability, expected;
  };
  // True sums are `forward` times 2 to the `exponent`, and `backward` divided by it. It is not 0
  // only for sums below kSmall of words that are as improbable.
  struct Node {
    double forward = 0, backward = 0;
    int64_t exponent = 0;
  };
  static constexpr double kSmall = 0x1p-600;
  static constexpr uint32_t kNone = UINT32_MAX;

  template <bool kScaled>
  void sum_forward(std::span<const PieceEdge> edges, uint32_t depth);
  void set_scaled(uint32_t depth, double sum, int64_t exponent);
  template <bool kScaled>
  void sum_backward(std::span<const PieceEdge> edges, uint32_t depth);

  std::vector<Piece> pieces_;
  std::vector<Node> path_;         // by depth
  uint32_t first_scaled_ = kNone;  // depth of the first exponent that is not 0
};

// Two to this power, 0 when that is less than a normal number.
inline double power_of_two(int64_t exponent) {
  return exponent < -1022 ? 0 : std::bit_cast<double>(static_cast<uint64_t>(exponent + 1023) << 52);
}

template <bool kScaled>
void CutSums::sum_forward(std::span<const PieceEdge> edges, uint32_t depth) {
  int64_t exponent = 0;
  if constexpr (kScaled) {
    exponent = path_[depth - 1].exponent;
    for (const PieceEdge edge : edges)
      exponent = std::max(exponent, path_[depth - edge.length()].exponent);
  }
  // The sum before the last character was made just now, so it comes last.
  double sum = 0;
  for (size_t i = edges.size(); i-- > 0;) {
    const Node& before = path_[depth - edges[i].length()];
    double product = pieces_[edges[i].piece()].probability * before.forward;
    if constexpr (kScaled) product *= power_of_two(before.exponent - exponent);
    sum += product;
  }
  if constexpr (kScaled) {
    set_scaled(depth, sum, exponent);
  } else {
    path_[depth].forward = sum;
  }
}

template <bool kScaled>
void CutSums::sum_backward(std::span<const PieceEdge> edges, uint32_t depth) {
  const double behind = path_[depth].backward;
  const int64_t exponent = path_[depth].exponent;
  path_[depth] = {};
  for (const PieceEdge edge : edges) {
    Node& before = path_[depth - edge.length()];
    Piece& piece = pieces_[edge.piece()];
    double product = behind * piece.probability;
    if constexpr (kScaled) product *= power_of_two(before.exponent - exponent);
    piece.expected += product * before.forward;
    before.backward += product;
  }
}

template <class EdgesAt>
void CutSums::add_word(EdgesAt&& edges_at, uint32_t shared, uint32_t length, uint32_t kept,
                       double count) {
  if (first_scaled_ > shared) {
    first_scaled_ = kNone;
    for (uint32_t depth = shared + 1; depth <= length; ++depth)
      sum_forward<false>(edges_at(depth), depth);
  }
  Node& last = path_[length];
  const bool scaled = first_scaled_ != kNone || last.forward < kSmall;
  for (uint32_t depth = 1; scaled && depth <= length; ++depth)
    sum_forward<true>(edges_at(depth), depth);
  last.backward += count / last.forward;
  for (uint32_t depth = length; depth > kept; --depth) {
    if (scaled) {
      sum_backward<true>(edges_at(depth), depth);
    } else {
      sum_backward<false>(edges_at(depth), depth);
    }
  }
}

}  // namespace lowbit::tokenizers
