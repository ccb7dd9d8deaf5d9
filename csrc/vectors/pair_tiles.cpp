#include "vectors/pair_tiles.hpp"

namespace lowbit::vectors {

PairTiles::PairTiles(int64_t words, int64_t bytes_of_word) {
  while (blocks_ < kMostBlocks && 2 * (words / blocks_) * bytes_of_word > kTileBytes) blocks_ *= 2;
  tile_.resize(static_cast<size_t>(blocks_ * blocks_));
  const auto set = [&](int64_t a, int64_t b, int64_t tile) {
    tile_[static_cast<size_t>(a * blocks_ + b)] = static_cast<int32_t>(tile);
    tile_[static_cast<size_t>(b * blocks_ + a)] = static_cast<int32_t>(tile);
  };
  // The last block meets block `round`; those as far before it as behind it meet each other.
  const int64_t circle = blocks_ - 1;
  for (int64_t round = 0; round < circle; ++round) {
    const int64_t first = round * (blocks_ / 2);
    set(circle, round, first);
    for (int64_t k = 1; k < blocks_ / 2; ++k)
      set((round + k) % circle, (round + circle - k) % circle, first + k);
  }
  for (int64_t a = 0; a < blocks_; ++a) set(a, a, circle * (blocks_ / 2) + a);
}

}  // namespace lowbit::vectors
