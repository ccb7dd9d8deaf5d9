// Pairs of words in tiles that can be worked on side by side (Gemulla et al., 2011).
//
// Word w is in block w mod blocks, so that every block has its share of frequent words. A tile has
// the pairs of two blocks, in either order. As in a tournament, a round has every block once: its
// tiles share no row, and may be worked on by as many threads as there are, with the same result.
// The last round has the pairs within the blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace lowbit::vectors {

class PairTiles {
 public:
  // So many words, of which one takes so many bytes: those of a tile take 2 MiB at most, as far as
  // kMostBlocks allow. Smaller tiles have too few pairs to find their words in the cache again.
  PairTiles(int64_t words, int64_t bytes_of_word);

  int64_t tiles() const { return blocks_ * (blocks_ + 1) / 2; }
  int64_t rounds() const { return blocks_; }
  // The tiles [first, second) of a round.
  std::pair<int64_t, int64_t> round(int64_t number) const {
    const int64_t begin = number * (blocks_ / 2);
    return {begin, number + 1 == blocks_ ? tiles() : begin + blocks_ / 2};
  }
  int64_t tile_of(int32_t word, int32_t other) const {
    const int64_t mask = blocks_ - 1;
    return tile_[static_cast<size_t>((word & mask) * blocks_ + (other & mask))];
  }

 private:
  static constexpr int64_t kFewestBlocks = 16, kMostBlocks = 512;
  static constexpr int64_t kTileBytes = int64_t{2} << 20;

  int64_t blocks_ = kFewestBlocks;  // a power of two
  std::vector<int32_t> tile_;       // [blocks][blocks]
};

}  // namespace lowbit::vectors
