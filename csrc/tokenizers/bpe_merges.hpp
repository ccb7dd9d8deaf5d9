// The merges of byte-pair encoding, and what they make of a word's atoms.
//
// Symbols are small numbers: the tokens of a vocabulary, and atoms that no token spells. A merge
// has a rank; the lowest rank of a word goes first, of equal ones the leftmost.
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizers/pair_table.hpp"

namespace lowbit::tokenizers {

// A symbol in a word and the bytes it stands for.
struct Part {
  uint32_t rank;  // of the merge with the part behind it
  uint32_t symbol;
  int32_t begin, end;
};

struct Merge {
  uint32_t left, right, rank, merged;
};

class Merges {
 public:
  static constexpr uint32_t kNone = PairTable::kNone;

  // How the symbol that a merge makes follows from its rank.
  enum class Results {
    listed,   // one for each rank
    ordered,  // symbol and rank are the same number
    tied,     // several merges may have one rank
  };

  Merges() = default;
  Merges(size_t count, Results results) : kind_(results) {
    pairs_.reserve(count);
    if (kind_ == Results::listed) merged_.reserve(count);
    if (kind_ == Results::tied) results_.reserve(count);
  }

  // Of one pair the last merge counts.
  void add(const Merge& merge) {
    pairs_.insert(merge.left, merge.right, merge.rank);
    if (kind_ == Results::tied) results_.insert(merge.left, merge.right, merge.merged);
    if (kind_ != Results::listed) return;
    if (merge.rank >= merged_.size()) merged_.resize(merge.rank + 1, kNone);
    merged_[merge.rank] = merge.merged;
  }

  bool listed() const { return kind_ == Results::listed; }
  uint32_t rank(uint32_t left, uint32_t right) const { return pairs_.find(left, right); }
  void prefetch(uint32_t left, uint32_t right) const { pairs_.prefetch(left, right); }
  uint32_t merged(uint32_t rank, uint32_t left, uint32_t right) const {
    if (kind_ == Results::ordered) return rank;
    return kind_ == Results::tied ? results_.find(left, right) : merged_[rank];
  }

 private:
  PairTable pairs_;  // to ranks
  Results kind_ = Results::listed;
  std::vector<uint32_t> merged_;  // if listed: symbols by rank
  PairTable results_;             // if tied: pairs to symbols
};

inline void rank_parts(const Merges& merges, Part* parts, size_t count) {
  for (size_t i = 0; i + 1 < count; ++i)
    parts[i].rank = merges.rank(parts[i].symbol, parts[i + 1].symbol);
  if (count > 0) parts[count - 1].rank = Merges::kNone;
}

// Each of these merges parts in place and returns how many are left.

// For short words, whose parts have their ranks: the minimum is searched anew after each merge.
inline size_t merge_short(const Merges& merges, Part* parts, size_t count) {
  while (count > 1) {
    size_t best = 0;
    uint32_t lowest = parts[0].rank;
    for (size_t i = 1; i + 1 < count; ++i) {
      const uint32_t rank = parts[i].rank;
      best = rank < lowest ? i : best;
      lowest = rank < lowest ? rank : lowest;
    }
    if (lowest == Merges::kNone) break;
    Part& part = parts[best];
    part.symbol = merges.merged(lowest, part.symbol, parts[best + 1].symbol);
    part.end = parts[best + 1].end;
    part.rank = parts[best + 1].rank;
    --count;
    // Both lookups may miss the caches, so they should overlap.
    if (best > 0) merges.prefetch(parts[best - 1].symbol, part.symbol);
    if (best + 1 < count) merges.prefetch(part.symbol, parts[best + 2].symbol);
    for (size_t i = best + 1; i < count; ++i) parts[i] = parts[i + 1];
    if (best + 1 < count) part.rank = merges.rank(part.symbol, parts[best + 1].symbol);
    if (best > 0) parts[best - 1].rank = merges.rank(parts[best - 1].symbol, part.symbol);
  }
  return count;
}

// Candidates are passed over with a probability; the numbers are a function of the seed.
struct Dropout {
  float probability = 0;
  uint64_t seed = 0;
};

// For any word and any merges, with a heap of candidates: n log n.
size_t merge_by_heap(const Merges& merges, Part* parts, size_t count, const Dropout& dropout);

}  // namespace lowbit::tokenizers
