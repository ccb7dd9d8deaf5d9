// What the merges of a vocabulary imply: which tokens can come about, from which two parts, and
// which two tokens can stand side by side.
//
// In a regular vocabulary every token comes about in one way only, and after its parts. Then a
// sequence of tokens is the encoding of its text exactly when every neighbouring pair is (Berglund
// and van der Merwe, 2023; the test of a pair is that of the Rust crate bpe). This needs neither
// queue nor priorities, so long words take linear time.
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizers/bpe_merges.hpp"

namespace lowbit::tokenizers {

class Splits {
 public:
  // `merges` in order of rank. `atoms[symbol]`: words may start out with the symbol. `proven`: each
  // merge is known to be the last one of its token's own encoding.
  Splits(const Merges& table, const std::vector<Merge>& merges, const std::vector<bool>& atoms,
         bool proven);

  bool regular() const { return regular_; }
  // Whether two reachable tokens can be neighbours in an encoding.
  bool compatible(uint32_t left, uint32_t right) const {
    return compatible(left, right, Merges::kNone);
  }

  // The reachable tokens that have two parts, in order of rank; none when not regular.
  const std::vector<Merge>& made() const { return made_; }

  struct Split {
    uint32_t left, right;
    int32_t rank;  // or one of these
  };
  static constexpr int32_t kAtom = -1;
  static constexpr int32_t kUnreachable = -2;
  const Split& operator[](uint32_t symbol) const { return split_[symbol]; }

 private:

  bool compatible(uint32_t left, uint32_t right, uint32_t limit) const;

  const Merges& table_;
  std::vector<Split> split_;
  std::vector<Merge> made_;
  bool regular_ = true;
};

// Encodes long words of a regular vocabulary from left to right: always the longest token that can
// follow, going back where the rest cannot be spelled.
class LongWords {
 public:
  LongWords(const Splits& splits, size_t symbols);

  // False when the tokens together are too long for the trie.
  bool usable() const { return usable_; }

  // Merges parts in place and returns how many are left. Ranks are not used.
  size_t merge(Part* parts, size_t count) const;

  // Spells the atoms symbol_at(0) to symbol_at(count - 1) with tokens, which are pushed on a stack
  // that is empty at first.
  template <class SymbolAt, class Stack>
  void spell(const SymbolAt& symbol_at, size_t count, Stack& tokens) const;

 private:
  void insert(const Merge& merge, std::vector<uint32_t>& parent);
  template <class SymbolAt>
  uint32_t longest(const SymbolAt& symbol_at, size_t begin, size_t end) const;

  bool usable_ = false;
  const Splits& splits_;
  PairTable children_;             // a trie over atoms: node and symbol to node
  std::vector<uint32_t> token_;    // by node, or kNone
  std::vector<uint32_t> node_;     // by symbol; 0 for those without
  std::vector<uint32_t> shorter_;  // by symbol: its longest proper prefix that is a token
  std::vector<uint32_t> length_;   // by symbol, in atoms
};

template <class SymbolAt, class Stack>
void LongWords::spell(const SymbolAt& symbol_at, size_t count, Stack& tokens) const {
  if (count == 0) return;
  std::vector<bool> dead_end(count + 1);  // what is left from here on cannot be spelled
  // Long words repeat themselves, and so do pairs of neighbours.
  uint32_t left = Merges::kNone, right = Merges::kNone;
  bool compatible = false;
  const auto follows = [&](uint32_t last, uint32_t token) {
    if (last != left || token != right) {
      left = last, right = token;
      compatible = splits_.compatible(left, right);
    }
    return compatible;
  };
  size_t at = 0;
  for (uint32_t next = longest(symbol_at, 0, count); next != Merges::kNone;) {
    const uint32_t last = tokens.empty() ? Merges::kNone : tokens.back();
    uint32_t token = next;
    const auto fits = [&] {
      return !dead_end[at + length_[token]] && (last == Merges::kNone || follows(last, token));
    };
    while (token != Merges::kNone && !fits()) token = shorter_[token];
    if (token != Merges::kNone) {
      tokens.push_back(token);
      at += length_[token];
      next = at < count ? longest(symbol_at, at, count) : Merges::kNone;
    } else {
      dead_end[at] = true;
      tokens.pop_back();
      at -= length_[last];
      next = last;
    }
  }
}

template <class SymbolAt>
uint32_t LongWords::longest(const SymbolAt& symbol_at, size_t begin, size_t end) const {
  uint32_t found = symbol_at(begin);
  uint32_t node = node_[found];
  if (node == 0) return found;
  for (size_t i = begin + 1; i < end; ++i) {
    node = children_.find(node, symbol_at(i));
    if (node == Merges::kNone) break;
    if (token_[node] != Merges::kNone) found = token_[node];
  }
  return found;
}

}  // namespace lowbit::tokenizers
