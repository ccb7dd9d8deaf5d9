#include "tokenizers/training/piece_lattice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "core/threads.hpp"

namespace lowbit::tokenizers {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// The pieces that end with the same characters are nested: a walk along the order of nodes meets
// them on a stack, short ones below. Each character's nodes lie together, and go to one thread.
class NestedPieces {
 public:
  explicit NestedPieces(const SeedPieces& seeds) : seeds_(seeds), ids_(seeds.pieces.size()) {
    const std::vector<SeedPiece>& pieces = seeds.pieces;
    std::iota(ids_.begin(), ids_.end(), 0);
    std::sort(ids_.begin(), ids_.end(), [&](uint32_t a, uint32_t b) {
      return pieces[a].begin != pieces[b].begin ? pieces[a].begin < pieces[b].begin
                                                : pieces[a].length < pieces[b].length;
    });
    for (size_t i = 0; i < ids_.size(); ++i)
      if (pieces[ids_[i]].length == 1) characters_.push_back(i);
  }

  // Calls use(node, pieces that end there, short ones first).
  template <class Use>
  void for_nodes(Use&& use) const {
    parallel_for(static_cast<int64_t>(characters_.size()), 1, [&](int64_t i, int64_t end) {
      for (; i < end; ++i) for_nodes(characters_[static_cast<size_t>(i)], use);
    });
  }

 private:
  template <class Use>
  void for_nodes(size_t next, Use&& use) const {
    const std::vector<SeedPiece>& pieces = seeds_.pieces;
    std::vector<PieceEdge> open;
    const SeedPiece& character = pieces[ids_[next]];
    for (uint32_t i = character.begin; i < character.end; ++i) {
      while (!open.empty() && pieces[open.back().piece()].end <= i) open.pop_back();
      for (; next < ids_.size() && pieces[ids_[next]].begin == i; ++next)
        open.emplace_back(ids_[next], pieces[ids_[next]].length);
      use(seeds_.order[i], open);
    }
  }

  const SeedPieces& seeds_;
  std::vector<uint32_t> ids_;       // by begin, short ones first
  std::vector<size_t> characters_;  // in `ids_`
};

}  // namespace

PieceLattice::PieceLattice(const PieceText& text, const SeedPieces& seeds)
    : text_(text), edges_at_(text.symbols.size()) {
  const NestedPieces nested(seeds);
  nested.for_nodes([&](uint32_t place, const std::vector<PieceEdge>& edges) {
    edges_at_[place].count = static_cast<uint16_t>(edges.size());
  });
  uint64_t first = 0;
  const PieceText::Segment* before = nullptr;
  for (const PieceText::Segment& segment : text.segments) {
    longest_ = std::max(longest_, segment.end - segment.begin);
    for (uint32_t i = 0; i < segment.shared; ++i)
      edges_at_[segment.begin + i] = edges_at_[before->begin + i];
    for (uint32_t place = segment.begin + segment.shared; place < segment.end; ++place) {
      edges_at_[place].first = first;
      first += edges_at_[place].count;
    }
    before = &segment;
  }
  edges_.resize(first);
  nested.for_nodes([&](uint32_t place, const std::vector<PieceEdge>& edges) {
    std::copy(edges.begin(), edges.end(), &edges_[edges_at_[place].first]);
  });
}

// The sums of the parts are added in their order.
void PieceLattice::expect(const std::vector<double>& scores, std::vector<double>& expected) const {
  const auto parts = static_cast<int64_t>(text_.parts.size());
  std::vector<std::optional<CutSums>> sums(text_.parts.size());
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      expect_part(text_.parts[i], sums[i].emplace(scores, longest_));
  });
  for (size_t i = 0; i < scores.size(); ++i) {
    expected[i] = 0;
    for (const auto& part : sums) expected[i] += part->expected(i);
  }
}

void PieceLattice::expect_part(const PieceText::Part& part, CutSums& sums) const {
  for (size_t i = part.first; i < part.last; ++i) {
    const PieceText::Segment& segment = text_.segments[i];
    const uint32_t kept = i + 1 < part.last ? text_.segments[i + 1].shared : 0;
    const auto edges = [&](uint32_t depth) { return edges_at(segment.begin + depth - 1); };
    sums.add_word(edges, segment.shared, segment.end - segment.begin, kept,
                  static_cast<double>(segment.count));
  }
}

void PieceLattice::best_cut(uint32_t place, uint32_t length, const std::vector<double>& scores,
                            std::vector<uint32_t>& pieces) const {
  struct Best {
    double score;
    PieceEdge edge;  // the last piece
  };
  Best best[1 << PieceEdge::kLengthBits];
  best[0].score = 0;
  for (uint32_t at = 1; at <= length; ++at) {
    Best& there = best[at];
    there.score = kMinusInfinity;
    for (const PieceEdge edge : edges_at(place - length + at)) {
      if (edge.length() > at || edge.length() == length) break;
      const double score = best[at - edge.length()].score + scores[edge.piece()];
      if (score > there.score) there = {score, edge};
    }
  }
  pieces.clear();
  for (uint32_t at = length; at > 0; at -= best[at].edge.length())
    pieces.push_back(best[at].edge.piece());
}

void PieceLattice::renumber(const std::vector<uint32_t>& numbers) {
  parallel_for(static_cast<int64_t>(text_.parts.size()), 1, [&](int64_t part, int64_t end) {
    for (; part < end; ++part) {
      const auto [first, last] = text_.parts[static_cast<size_t>(part)];
      uint64_t kept = edges_at_[text_.segments[first].begin].first;
      for (size_t i = first; i < last; ++i) {
        const PieceText::Segment& segment = text_.segments[i];
        for (uint32_t k = 0; k < segment.shared; ++k)
          edges_at_[segment.begin + k] = edges_at_[text_.segments[i - 1].begin + k];
        for (uint32_t place = segment.begin + segment.shared; place < segment.end; ++place) {
          const std::span<const PieceEdge> edges = edges_at(place);
          edges_at_[place].first = kept;
          for (const PieceEdge edge : edges) {  // which leave cannot be foreseen: no branch
            const uint32_t number = numbers[edge.piece()];
            edges_[kept] = {number, edge.length()};
            kept += number != kGone;
          }
          edges_at_[place].count = static_cast<uint16_t>(kept - edges_at_[place].first);
        }
      }
    }
  });
}

}  // namespace lowbit::tokenizers
