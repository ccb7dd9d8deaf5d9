// Counts of words that stand near each other, within a bound of memory.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "core/memory.hpp"
#include "vectors/corpus.hpp"
#include "vectors/idle.hpp"
#include "vectors/pair_table.hpp"
#include "vectors/pair_tiles.hpp"
#include "vectors/spill_file.hpp"

namespace lowbit::vectors {

struct CountOptions {
  int64_t window = 15;    // words to the left
  bool symmetric = true;  // and to the right
  bool weighted = true;   // two words at distance d count 1 / d instead of 1
  int64_t memory = int64_t{4} << 30;  // bytes that tables, runs and buffers may take, about
};

// Counts pairs (word, word to its right), or, when it is symmetric, pairs without an order, the
// lower number first, of which both orders have the same count.
//
// Each thread has a table of its own. One that is full becomes a run: its pairs sorted by tiles,
// written to the file. In the end all runs of a tile are read together, sorted and added up. Sums
// of whole numbers do not depend on their order, so counts depend on neither threads nor memory.
class CooccurrenceCounter {
 public:
  // The corpus, the tiles and the file must outlive it.
  CooccurrenceCounter(const Corpus& corpus, const PairTiles& tiles, const CountOptions& options,
                      SpillFile& file);

  // Chunks of whole sentences, about 16,000 words each.
  int64_t chunks() const { return static_cast<int64_t>(chunk_begin_.size()) - 1; }
  void run(int64_t begin, int64_t end);

  // After all chunks, once: no more are counted.
  void finish();
  // Forgets all pairs.
  void clear() { runs_.clear(); }
  // Pairs of a tile in all runs together, equal ones once for each run that has them: as many as
  // for_tiles gives, or more.
  int64_t most_of(int64_t tile) const;
  int64_t most() const;
  // Several tiles at a time, on all threads: use(first, last, counts) with counts[i] those of tile
  // first + i, sorted by pair. What it writes must be its own.
  using Counts = std::vector<std::span<PairCount>>;
  void for_tiles(const std::function<void(int64_t, int64_t, const Counts&)>& use);

  const PairTiles& tiles() const { return tiles_; }
  const CountOptions& options() const { return options_; }
  int64_t spilled() const { return spilled_; }  // runs in the file

 private:
  // What a table had, sorted by tiles: in memory, or in the file from byte `place` on.
  struct Run {
    std::vector<int64_t> begin;  // [tiles + 1]
    Memory<PairCount> pairs;
    int64_t place = 0;
  };
  struct Buffer {
    std::vector<PairCount> read, sorted;
    Counts counts;
  };

  int64_t table_slots() const;
  void count_sentence(int64_t begin, int64_t end, PairTable& table);
  void spill(PairTable& table);
  Run sorted_by_tiles(PairTable& table) const;
  void write(Run& run);
  void gather(int64_t first, int64_t last, Buffer& buffer);
  std::vector<int64_t> tile_ranges() const;

  const Corpus& corpus_;
  const PairTiles& tiles_;
  const CountOptions options_;
  SpillFile& file_;
  std::vector<uint64_t> weights_;     // of each distance
  std::vector<int64_t> chunk_begin_;  // sentences, [chunks + 1]
  std::vector<PairTable*> all_tables_;
  Idle<PairTable> tables_;
  Idle<Buffer> buffers_;
  std::mutex mutex_;
  std::vector<Run> runs_;
  int64_t spilled_ = 0;
  bool counting_ = false;  // or it was, and failed
};

}  // namespace lowbit::vectors
