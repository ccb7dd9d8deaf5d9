// The best spellings of a word, in descending order of their scores.
#include <algorithm>
#include <functional>
#include <queue>

#include "core/error.hpp"
#include "tokenizers/unigram_lattice.hpp"

namespace lowbit::tokenizers {
namespace {

// sentencepiece's search gives up spellings when more partial ones than these wait.
constexpr size_t kLargestAgenda = 10000;

// Sums of float32: the sum of two in float64 is exact enough to be rounded again.
double add_floats(double a, double b) { return static_cast<float>(a + b); }

}  // namespace

std::vector<Spelling> UnigramLattice::best(int64_t count) const {
  std::vector<Spelling> spellings;
  if (word_.empty()) return {Spelling{}};
  if (!model_.sentencepiece() || !search_as_sentencepiece(count, spellings)) {
    spellings.clear();
    best_of_places(count, spellings);
  }
  for (Spelling& spelling : spellings) model_.resolve_unknown(word_, 0, spelling.pieces);
  return spellings;
}

// A* from the end of the word to its start, guided by the best way from the start to each place.
// Spellings whose sums nearly tie come in the order of that library when sums and the order in
// which partial spellings are met are its own. False when too many wait.
bool UnigramLattice::search_as_sentencepiece(int64_t count,
                                             std::vector<Spelling>& spellings) const {
  std::vector<double> estimate(word_.size() + 1, kUnreached);
  estimate[0] = 0;
  const auto best_until = [&](const Edge& edge) {
    return add_floats(estimate[static_cast<size_t>(edge.begin)], edge.score);
  };
  for (const Edge& edge : edges_) {
    double& there = estimate[static_cast<size_t>(edge.end)];
    there = std::max(there, best_until(edge));
  }
  // The end of a spelling: its first token, if it does not reach the start, and what follows.
  struct Suffix {
    const Edge* edge;
    size_t place, next;
    double score;
  };
  constexpr size_t kNothing = std::numeric_limits<size_t>::max();
  std::vector<Suffix> suffixes = {{nullptr, word_.size(), kNothing, 0}};
  struct Promise {
    double score;  // the best that a suffix can lead to
    size_t suffix;
    bool operator<(const Promise& other) const { return score < other.score; }
  };
  std::priority_queue<Promise> agenda;
  agenda.push({0, 0});
  while (!agenda.empty()) {
    const auto [promise, top] = agenda.top();
    agenda.pop();
    const Suffix suffix = suffixes[top];
    if (!suffix.edge && top > 0) {
      Spelling& spelling = spellings.emplace_back(std::vector<Piece>{}, promise);
      for (size_t i = suffix.next; suffixes[i].edge; i = suffixes[i].next)
        spelling.pieces.push_back(suffixes[i].edge->piece());
      if (std::ssize(spellings) == count) break;
      continue;
    }
    const auto push = [&](double score, const Suffix& longer) {
      agenda.push({score, suffixes.size()});
      suffixes.push_back(longer);
    };
    if (suffix.place == 0) push(suffix.score, {nullptr, 0, top, suffix.score});
    for (const Edge& edge : ending_at(suffix.place))
      push(add_floats(best_until(edge), suffix.score),
           {&edge, static_cast<size_t>(edge.begin), top, add_floats(edge.score, suffix.score)});
    if (agenda.size() >= kLargestAgenda) return false;
  }
  return true;
}

// Viterbi's algorithm with the `count` best ways to each place instead of one. Of equal sums the
// longest last token comes first.
void UnigramLattice::best_of_places(int64_t count, std::vector<Spelling>& spellings) const {
  struct Way {
    double score;
    uint32_t edge, rank;  // among the ways to where the edge begins
  };
  const auto worse = [](const Way& a, const Way& b) {
    if (a.score != b.score) return a.score < b.score;
    return a.edge != b.edge ? a.edge > b.edge : a.rank > b.rank;
  };
  std::vector<std::vector<Way>> ways(word_.size() + 1);
  ways[0].push_back({0, 0, 0});
  const auto way = [&](uint32_t edge, uint32_t rank) {
    const auto& before = ways[static_cast<size_t>(edges_[edge].begin)];
    return Way{before[rank].score + edges_[edge].score, edge, rank};
  };
  for (size_t place = 1; place <= word_.size(); ++place) {
    std::priority_queue<Way, std::vector<Way>, decltype(worse)> next(worse);
    for (size_t edge = first_[place]; edge < first_[place + 1]; ++edge)
      if (!ways[static_cast<size_t>(edges_[edge].begin)].empty())
        next.push(way(static_cast<uint32_t>(edge), 0));
    while (!next.empty() && std::ssize(ways[place]) < count) {
      const Way best = next.top();
      next.pop();
      ways[place].push_back(best);
      if (best.rank + 1 < ways[static_cast<size_t>(edges_[best.edge].begin)].size())
        next.push(way(best.edge, best.rank + 1));
    }
  }
  for (const Way& last : ways.back()) {
    Spelling& spelling = spellings.emplace_back(std::vector<Piece>{}, last.score);
    for (const Way* at = &last;;) {
      const Edge& edge = edges_[at->edge];
      spelling.pieces.push_back(edge.piece());
      if (edge.begin == 0) break;
      at = &ways[static_cast<size_t>(edge.begin)][at->rank];
    }
    std::reverse(spelling.pieces.begin(), spelling.pieces.end());
  }
}

std::vector<Spelling> Unigram::nbest(std::string_view word, int64_t count) const {
  check(count >= 1, "Unigram: nbest of ", count, " spellings; at least 1 is expected");
  return UnigramLattice(*this, word).best(count);
}

}  // namespace lowbit::tokenizers
