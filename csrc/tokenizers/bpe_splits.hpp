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

 private:
  void insert(const Merge& merge, std::vector<uint32_t>& parent);
  uint32_t longest(const Part* parts, size_t count) const;

  bool usable_ = false;
  const Splits& splits_;
  PairTable children_;             // a trie over atoms: node and symbol to node
  std::vector<uint32_t> token_;    // by node, or kNone
  std::vector<uint32_t> node_;     // by symbol; 0 for those without
  std::vector<uint32_t> shorter_;  // by symbol: its longest proper prefix that is a token
  std::vector<uint32_t> length_;   // by symbol, in atoms
};

}  // namespace lowbit::tokenizers
