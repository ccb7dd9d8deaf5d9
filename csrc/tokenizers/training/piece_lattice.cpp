#include "tokenizers/training/piece_lattice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/threads.hpp"

namespace lowbit::tokenizers {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// Probabilities of long texts are less than any double. Every few characters, those that are still
// added to are multiplied by a power of two when all are small.
constexpr int kScaleBits = 400;
constexpr double kScale = 0x1p400, kSmall = 0x1p-350;
constexpr uint32_t kCheckEvery = 8;
// A word whose least probable cut is above exp(-600) needs none of this.
constexpr double kSafeExponent = 600;

// Of the segments; more threads than this have nothing to do.
constexpr int64_t kParts = 16;

bool rescale(double* values, uint32_t count) {
  if (*std::max_element(values, values + count) >= kSmall) return false;
  for (uint32_t i = 0; i < count; ++i) values[i] *= kScale;
  return true;
}

}  // namespace

// The pieces that begin with the same suffix are nested: a walk along the order of suffixes meets
// them on a stack, short ones below. Each character's suffixes lie together, and go to one thread.
PieceLattice::PieceLattice(const PieceText& text, const SeedPieces& seeds)
    : text_(text), first_edge_(text.symbols.size() + 1), longest_(0) {
  const std::vector<SeedPiece>& pieces = seeds.pieces;
  std::vector<uint32_t> ids(pieces.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::sort(ids.begin(), ids.end(), [&](uint32_t a, uint32_t b) {
    return pieces[a].begin != pieces[b].begin ? pieces[a].begin < pieces[b].begin
                                              : pieces[a].length < pieces[b].length;
  });
  std::vector<size_t> starts;  // of the characters, in `ids`
  for (size_t i = 0; i < ids.size(); ++i) {
    longest_ = std::max(longest_, pieces[ids[i]].length);
    if (pieces[ids[i]].length == 1) starts.push_back(i);
  }
  // Calls use(place, pieces that begin there, short ones first).
  const auto for_places = [&](auto&& use) {
    parallel_for(static_cast<int64_t>(starts.size()), 1, [&](int64_t character, int64_t end) {
      std::vector<Edge> open;
      for (; character < end; ++character) {
        size_t next = starts[character];
        const SeedPiece& all = pieces[ids[next]];
        for (uint32_t i = all.begin; i < all.end; ++i) {
          while (!open.empty() && pieces[open.back().piece()].end <= i) open.pop_back();
          for (; next < ids.size() && pieces[ids[next]].begin == i; ++next)
            open.emplace_back(ids[next], pieces[ids[next]].length);
          use(seeds.order[i], open);
        }
        open.clear();
      }
    });
  };
  for_places([&](uint32_t place, const std::vector<Edge>& open) {
    first_edge_[place] = open.size();
  });
  cut_parts();
  parallel_for(kParts, 1, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      Part& part = parts_[static_cast<size_t>(i)];
      uint64_t edges = 0;
      for (uint32_t place = part.begin; place < part.end; ++place)
        edges += std::exchange(first_edge_[place], edges);
      part.edges.resize(edges);
    }
  });
  for_places([&](uint32_t place, const std::vector<Edge>& open) {
    std::copy(open.begin(), open.end(), &part_of(place).edges[first_edge_[place]]);
  });
}

void PieceLattice::cut_parts() {
  const std::vector<PieceText::Segment>& segments = text_.segments;
  for (size_t i = 0; i < kParts; ++i) {
    const size_t first = segments.size() * i / kParts, last = segments.size() * (i + 1) / kParts;
    const uint32_t begin = i == 0 ? 0 : parts_.back().end;
    parts_.push_back({first, last, begin, first == last ? begin : segments[last - 1].end + 1, {}});
  }
}

PieceLattice::Part& PieceLattice::part_of(uint32_t place) {
  return *std::upper_bound(parts_.begin(), parts_.end(), place,
                           [](uint32_t p, const Part& part) { return p < part.end; });
}

const PieceLattice::Part& PieceLattice::part_of(uint32_t place) const {
  return const_cast<PieceLattice*>(this)->part_of(place);
}

// The sums of the parts, whose number is fixed, are added in their order.
void PieceLattice::expect(const std::vector<double>& scores, std::vector<double>& expected) const {
  std::vector<double> probabilities(scores.size());
  double lowest = -1;
  for (size_t i = 0; i < scores.size(); ++i) {
    probabilities[i] = std::exp(scores[i]);
    if (scores[i] > kMinusInfinity) lowest = std::min(lowest, scores[i]);
  }
  const auto safe_length = static_cast<uint32_t>(kSafeExponent / -lowest);
  std::vector<Sums> sums(kParts);
  parallel_for(kParts, 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      expect_part(parts_[i], probabilities, safe_length, sums[i]);
  });
  expected.assign(scores.size(), 0.0);
  for (const Sums& part : sums)
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += part.expected[i];
}

void PieceLattice::expect_part(const Part& part, const std::vector<double>& probabilities,
                               uint32_t safe_length, Sums& sums) const {
  sums.expected.assign(probabilities.size(), 0.0);
  for (size_t i = part.first_segment; i < part.last_segment; ++i) {
    const PieceText::Segment& segment = text_.segments[i];
    const bool safe = segment.end - segment.begin <= safe_length;
    sum_forward(segment, part.edges.data(), probabilities, safe, sums);
    sum_backward(segment, part.edges.data(), safe, sums);
  }
}

// The probability of what is before each place, over all cuts.
void PieceLattice::sum_forward(const PieceText::Segment& segment, const Edge* edges,
                               const std::vector<double>& probabilities, bool safe,
                               Sums& sums) const {
  const uint32_t length = segment.end - segment.begin;
  const uint64_t* const first_edge = &first_edge_[segment.begin];
  std::vector<double>& forward = sums.forward;
  forward.assign(length + 1, 0.0);
  forward[0] = 1;
  sums.weights.resize(std::max(sums.weights.size(), first_edge[length] - first_edge[0]));
  double* weight = sums.weights.data();
  sums.scaled.assign(length + 1, 0);
  int scaled = 0;
  for (uint32_t at = 0; at < length; ++at) {
    if (!safe && at % kCheckEvery == 0)
      scaled += rescale(&forward[at], std::min(longest_, length - at) + 1);
    sums.scaled[at] = scaled;
    const double here = forward[at];
    for (uint64_t i = first_edge[at]; i < first_edge[at + 1]; ++i) {
      *weight = probabilities[edges[i].piece()];
      forward[at + edges[i].length()] += here * *weight++;
    }
  }
  sums.scaled[length] = scaled;
}

// The probability of what is behind each place, and so the share of each piece of all cuts.
void PieceLattice::sum_backward(const PieceText::Segment& segment, const Edge* edges, bool safe,
                                Sums& sums) const {
  const uint32_t length = segment.end - segment.begin;
  const uint64_t* const first_edge = &first_edge_[segment.begin];
  const double* const weights = sums.weights.data();
  std::vector<double>& backward = sums.backward;
  backward.resize(length + 1);
  backward[length] = 1;
  const double share = static_cast<double>(segment.count) / sums.forward[length];
  int scaled = -sums.scaled[length];
  for (uint32_t at = length; at-- > 0;) {
    if (!safe && at % kCheckEvery == 0)
      scaled += rescale(&backward[at + 1], std::min(longest_, length - at));
    const int excess = sums.scaled[at] + scaled;
    const double before = sums.forward[at] * share;
    const double factor = excess == 0 ? before : std::ldexp(before, -kScaleBits * excess);
    double sum = 0;
    for (uint64_t i = first_edge[at]; i < first_edge[at + 1]; ++i) {
      const Edge edge = edges[i];
      const double rest = weights[i - first_edge[0]] * backward[at + edge.length()];
      sum += rest;
      sums.expected[edge.piece()] += factor * rest;
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
  const std::vector<Edge>& edges = part_of(place).edges;
  for (uint32_t at = 0; at < length; ++at)
    for (uint64_t i = first_edge_[place + at]; i < first_edge_[place + at + 1]; ++i) {
      const Edge edge = edges[i];
      if (at + edge.length() > length || edge.length() == length) break;
      const double score = best[at].score + scores[edge.piece()];
      if (Best& there = best[at + edge.length()]; score > there.score) there = {score, edge};
    }
  pieces.clear();
  for (uint32_t at = length; at > 0; at -= best[at].edge.length())
    pieces.push_back(best[at].edge.piece());
}

void PieceLattice::renumber(const std::vector<uint32_t>& numbers) {
  parallel_for(kParts, 1, [&](int64_t i, int64_t last) {
    for (; i < last; ++i) {
      Part& part = parts_[static_cast<size_t>(i)];
      uint64_t kept = 0, end = 0;
      for (uint32_t place = part.begin; place < part.end; ++place) {
        const uint64_t begin = end;
        end = place + 1 < part.end ? first_edge_[place + 1] : part.edges.size();
        first_edge_[place] = kept;
        for (uint64_t k = begin; k < end; ++k)
          if (const uint32_t number = numbers[part.edges[k].piece()]; number != kGone)
            part.edges[kept++] = {number, part.edges[k].length()};
      }
      part.edges.resize(kept);
    }
  });
}

}  // namespace lowbit::tokenizers
