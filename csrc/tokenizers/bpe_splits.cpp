#include "tokenizers/bpe_splits.hpp"

#include "core/error.hpp"

namespace lowbit::tokenizers {

Splits::Splits(const Merges& table, const std::vector<Merge>& merges,
               const std::vector<bool>& atoms, bool proven)
    : table_(table), split_(atoms.size(), Split{0, 0, kUnreachable}) {
  for (uint32_t symbol = 0; symbol < atoms.size(); ++symbol)
    if (atoms[symbol]) split_[symbol] = {symbol, symbol, kAtom};
  const auto exists = [&](uint32_t symbol) { return split_[symbol].rank != kUnreachable; };
  std::vector<Merge> early;  // before their parts
  made_.reserve(merges.size());
  for (const Merge& merge : merges) {
    const auto& [left, right, rank, merged] = merge;
    // A later merge of the pair may have replaced this one.
    if (!proven && table.rank(left, right) != rank) continue;
    if (!exists(left) || !exists(right)) {
      early.push_back(merge);
      continue;
    }
    // The merge itself is left out: the question is whether its two parts come about.
    if (!proven && !compatible(left, right, 0)) continue;
    const auto after = static_cast<int32_t>(rank);
    regular_ = !exists(merged) && split_[left].rank < after && split_[right].rank < after;
    if (!regular_) break;
    split_[merged] = {left, right, after};
    made_.push_back(merge);
  }
  // An early merge does no harm when its parts never meet. They do not where its token comes about
  // in another way, as each text has one encoding.
  for (const auto& [left, right, rank, merged] : early)
    if (regular_ && exists(left) && exists(right) && !exists(merged) &&
        (proven || compatible(left, right, 0)))
      regular_ = false;
  if (!regular_) made_.clear();
}

// Undoes the merges of both sides, the last one first, and asks each time whether a merge across
// the border would have come before the one undone. At equal ranks the left one comes first.
bool Splits::compatible(uint32_t left, uint32_t right, uint32_t limit) const {
  for (;;) {
    if (table_.rank(left, right) < limit) return false;
    const Split& a = split_[left];
    const Split& b = split_[right];
    if (a.rank > b.rank) {
      limit = static_cast<uint32_t>(a.rank);
      left = a.right;
    } else if (b.rank != kAtom) {
      limit = static_cast<uint32_t>(b.rank) + 1;
      right = b.left;
    } else {
      return true;
    }
  }
}

LongWords::LongWords(const Splits& splits, size_t symbols)
    : splits_(splits), token_(1, Merges::kNone), node_(symbols, 0),
      shorter_(symbols, Merges::kNone), length_(symbols, 1) {
  uint64_t nodes = 1;
  for (const Merge& merge : splits.made()) {
    const uint64_t added = length_[merge.right];
    nodes += added + 1;
    if (nodes >= Merges::kNone) return;
    length_[merge.merged] = static_cast<uint32_t>(length_[merge.left] + added);
  }
  std::vector<uint32_t> parent(1, 0);
  for (const Merge& merge : splits.made()) insert(merge, parent);
  // Parents have the smaller numbers.
  std::vector<uint32_t> above(token_.size(), Merges::kNone);
  for (uint32_t node = 1; node < token_.size(); ++node) {
    const uint32_t up = parent[node];
    above[node] = token_[up] != Merges::kNone ? token_[up] : above[up];
    if (token_[node] != Merges::kNone) shorter_[token_[node]] = above[node];
  }
  usable_ = true;
}

void LongWords::insert(const Merge& merge, std::vector<uint32_t>& parent) {
  const auto add_node = [&](uint32_t from) {
    parent.push_back(from);
    token_.push_back(Merges::kNone);
    return static_cast<uint32_t>(token_.size() - 1);
  };
  if (node_[merge.left] == 0) {  // an atom that begins no token yet
    node_[merge.left] = add_node(0);
    token_[node_[merge.left]] = merge.left;
  }
  uint32_t node = node_[merge.left];
  std::vector<uint32_t> stack(1, merge.right);
  while (!stack.empty()) {
    const uint32_t symbol = stack.back();
    stack.pop_back();
    if (const Splits::Split& split = splits_[symbol]; split.rank != Splits::kAtom) {
      stack.push_back(split.right);
      stack.push_back(split.left);
      continue;
    }
    uint32_t child = children_.find(node, symbol);
    if (child == Merges::kNone) children_.insert(node, symbol, child = add_node(node));
    node = child;
  }
  node_[merge.merged] = node;
  token_[node] = merge.merged;
}

size_t LongWords::merge(Part* parts, size_t count) const {
  std::vector<uint32_t> tokens;
  spell([&](size_t i) { return parts[i].symbol; }, count, tokens);
  size_t at = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const size_t end = at + length_[tokens[i]];
    parts[i] = {Merges::kNone, tokens[i], parts[at].begin, parts[end - 1].end};
    at = end;
  }
  return tokens.size();
}

}  // namespace lowbit::tokenizers
