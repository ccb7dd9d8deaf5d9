#include "tokenizers/training/piece_lattice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace lowbit::tokenizers {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// Probabilities of long texts are less than any double. Every few characters, those that are still
// added to are multiplied by a power of two when all are small.
constexpr int kScaleBits = 400;
constexpr double kScale = 0x1p400, kSmall = 0x1p-350;
constexpr uint32_t kCheckEvery = 8;

bool rescale(double* values, uint32_t count) {
  if (*std::max_element(values, values + count) >= kSmall) return false;
  for (uint32_t i = 0; i < count; ++i) values[i] *= kScale;
  return true;
}

}  // namespace

PieceLattice::PieceLattice(const PieceText& text, const SeedPieces& seeds)
    : text_(text), first_edge_(text.symbols.size() + 1) {
  for (const SeedPiece& piece : seeds.pieces)
    for (uint32_t i = piece.begin; i < piece.end; ++i) ++first_edge_[seeds.order[i] + 1];
  std::partial_sum(first_edge_.begin(), first_edge_.end(), first_edge_.begin());
  edges_.resize(first_edge_.back());
  std::vector<uint32_t> by_length(seeds.pieces.size());
  std::iota(by_length.begin(), by_length.end(), 0);
  std::stable_sort(by_length.begin(), by_length.end(), [&](uint32_t a, uint32_t b) {
    return seeds.pieces[a].length < seeds.pieces[b].length;
  });
  std::vector<uint64_t> next(first_edge_.begin(), first_edge_.end() - 1);
  longest_ = seeds.pieces[by_length.back()].length;
  for (const uint32_t id : by_length) {
    const SeedPiece& piece = seeds.pieces[id];
    for (uint32_t i = piece.begin; i < piece.end; ++i)
      edges_[next[seeds.order[i]]++] = {id, piece.length};
  }
}

void PieceLattice::expect(const std::vector<double>& scores, std::vector<double>& expected) const {
  std::vector<double> probabilities(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) probabilities[i] = std::exp(scores[i]);
  expected.assign(scores.size(), 0.0);
  Sums sums;
  for (const PieceText::Segment& segment : text_.segments) {
    sum_forward(segment, probabilities, sums);
    sum_backward(segment, probabilities, sums, expected);
  }
}

// The probability of what is before each place, over all cuts.
void PieceLattice::sum_forward(const PieceText::Segment& segment,
                               const std::vector<double>& probabilities, Sums& sums) const {
  const uint32_t length = segment.end - segment.begin;
  const uint64_t* const first_edge = &first_edge_[segment.begin];
  std::vector<double>& forward = sums.forward;
  forward.assign(length + 1, 0.0);
  forward[0] = 1;
  sums.scaled.assign(length + 1, 0);
  int scaled = 0;
  for (uint32_t at = 0; at < length; ++at) {
    if (at % kCheckEvery == 0)
      scaled += rescale(&forward[at], std::min(longest_, length - at) + 1);
    sums.scaled[at] = scaled;
    for (uint64_t i = first_edge[at]; i < first_edge[at + 1]; ++i)
      forward[at + edges_[i].length] += forward[at] * probabilities[edges_[i].piece];
  }
  sums.scaled[length] = scaled;
}

// The probability of what is behind each place, and so the share of each piece of all cuts.
void PieceLattice::sum_backward(const PieceText::Segment& segment,
                                const std::vector<double>& probabilities, Sums& sums,
                                std::vector<double>& expected) const {
  const uint32_t length = segment.end - segment.begin;
  const uint64_t* const first_edge = &first_edge_[segment.begin];
  std::vector<double>& backward = sums.backward;
  backward.resize(length + 1);
  backward[length] = 1;
  const double share = static_cast<double>(segment.count) / sums.forward[length];
  int scaled = -sums.scaled[length];
  for (uint32_t at = length; at-- > 0;) {
    if (at % kCheckEvery == 0)
      scaled += rescale(&backward[at + 1], std::min(longest_, length - at));
    const int excess = sums.scaled[at] + scaled;
    const double before = sums.forward[at] * share;
    const double factor = excess == 0 ? before : std::ldexp(before, -kScaleBits * excess);
    double sum = 0;
    for (uint64_t i = first_edge[at]; i < first_edge[at + 1]; ++i) {
      const Edge edge = edges_[i];
      const double rest = probabilities[edge.piece] * backward[at + edge.length];
      sum += rest;
      expected[edge.piece] += factor * rest;
    }
    backward[at] = sum;
  }
}

void PieceLattice::best_cut(uint32_t place, uint32_t length, const std::vector<double>& scores,
                            std::vector<uint32_t>& pieces) const {
  struct Best {
    double score = kMinusInfinity;
    Edge edge{0, 0};  // the last piece
  };
  std::vector<Best> best(length + 1);
  best[0].score = 0;
  for (uint32_t at = 0; at < length; ++at)
    for (uint64_t i = first_edge_[place + at]; i < first_edge_[place + at + 1]; ++i) {
      const Edge edge = edges_[i];
      if (at + edge.length > length || edge.length == length) break;
      const double score = best[at].score + scores[edge.piece];
      if (Best& there = best[at + edge.length]; score > there.score) there = {score, edge};
    }
  pieces.clear();
  for (uint32_t at = length; at > 0; at -= best[at].edge.length)
    pieces.push_back(best[at].edge.piece);
}

void PieceLattice::renumber(const std::vector<uint32_t>& numbers) {
  uint64_t kept = 0;
  for (size_t place = 0; place + 1 < first_edge_.size(); ++place) {
    const uint64_t begin = first_edge_[place], end = first_edge_[place + 1];
    first_edge_[place] = kept;
    for (uint64_t i = begin; i < end; ++i)
      if (const uint32_t number = numbers[edges_[i].piece]; number != kGone)
        edges_[kept++] = {number, edges_[i].length};
  }
  first_edge_.back() = kept;
  edges_.resize(kept);
}

}  // namespace lowbit::tokenizers
