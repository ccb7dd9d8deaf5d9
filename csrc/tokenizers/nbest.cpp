#include "tokenizers/nbest.hpp"

#include <algorithm>
#include <queue>

namespace lowbit::tokenizers {

// Both lists descend, so the next best sum is beside one that was taken.
void NbestSink::append(std::vector<Spelling> spellings) {
  static const std::vector<Way> kNothing = {{0, 0, 0}};
  const std::vector<Way>& before = words_.empty() ? kNothing : words_.back().ways;
  const auto way = [&](uint32_t i, uint32_t k) {
    return Way{before[i].score + spellings[k].score, i, k};
  };
  const auto worse = [](const Way& a, const Way& b) {
    if (a.score != b.score) return a.score < b.score;
    return a.before != b.before ? a.before > b.before : a.spelling > b.spelling;
  };
  std::priority_queue<Way, std::vector<Way>, decltype(worse)> next(worse);
  std::vector<Way> ways;
  next.push(way(0, 0));
  while (!next.empty() && std::ssize(ways) < count_) {
    const Way best = next.top();
    next.pop();
    ways.push_back(best);
    if (best.spelling + 1 < spellings.size()) next.push(way(best.before, best.spelling + 1));
    if (best.spelling == 0 && best.before + 1 < before.size()) next.push(way(best.before + 1, 0));
  }
  words_.push_back({std::move(spellings), std::move(ways)});
}

std::vector<RankedIds> NbestSink::results() const {
  if (words_.empty()) return {{{}, 0}};
  std::vector<RankedIds> out;
  for (const Way& last : words_.back().ways) {
    RankedIds& ranked = out.emplace_back(std::vector<int32_t>{}, last.score);
    const Way* at = &last;
    for (size_t i = words_.size(); i-- > 0;) {
      const std::vector<Piece>& pieces = words_[i].spellings[at->spelling].pieces;
      for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece)
        ranked.ids.push_back(piece->id);
      if (i > 0) at = &words_[i - 1].ways[at->before];
    }
    std::reverse(ranked.ids.begin(), ranked.ids.end());
  }
  return out;
}

}  // namespace lowbit::tokenizers
