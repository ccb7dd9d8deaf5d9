// GloVe (Pennington et al., 2014): vectors whose products are the logarithms of counts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/memory.hpp"
#include "core/views.hpp"
#include "kernels/vector_args.hpp"
#include "vectors/cooccurrences.hpp"
#include "vectors/idle.hpp"
#include "vectors/spill_file.hpp"
#include "vectors/trainer.hpp"

namespace lowbit::vectors {

struct GloveOptions {
  int64_t dim = 100;
  double lr = 0.05;
  double x_max = 100, alpha = 0.75;  // a pair counts min(1, (count / x_max)^alpha)
  double clip = 100;                 // magnitude of a gradient's elements, at most
  bool plain_biases = true;          // not multiplied by lr, nor clipped, as in GloVe's own program
  uint64_t seed = 0;
};

// Pairs of words in tiles, shuffled within each; in memory, or in a file where they take more than
// half of what the counter may have.
class GlovePairs {
 public:
  // Takes all pairs out of the counter; its tiles and the file must outlive these.
  GlovePairs(CooccurrenceCounter& counter, const GloveOptions& options, SpillFile& file);

  bool symmetric() const { return symmetric_; }
  const PairTiles& tiles() const { return tiles_; }
  int64_t steps() const;  // of an epoch
  int64_t steps_of(int64_t tile) const { return steps_[static_cast<size_t>(tile)]; }
  bool in_file() const { return !memory_; }
  std::span<const GlovePair> of_tile(int64_t tile, std::vector<GlovePair>& buffer) const;

 private:
  void shuffle(std::span<GlovePair> pairs, int64_t tile) const;

  const PairTiles& tiles_;
  const bool symmetric_;
  const uint64_t seed_;
  SpillFile& file_;
  // Of each tile; there may be room behind its pairs.
  std::vector<int64_t> begin_, count_, steps_;
  Memory<GlovePair> memory_;
  int64_t place_ = 0;
};

// AdaGrad over the rounds of tiles: the same bits on any number of threads, without locks.
class GloveTrainer {
 public:
  // A table [words, 4 stride] as GloveArgs has it, 64-byte aligned; it and the pairs must outlive
  // the trainer.
  GloveTrainer(const GlovePairs& pairs, const GloveOptions& options, MatrixView<float> table);

  int64_t rounds() const { return pairs_.tiles().rounds(); }
  // Trains on the rounds [begin, end) of an epoch, in this epoch's order. `words` are steps.
  Passed run(int64_t epoch, int64_t begin, int64_t end);

  // As in Trainer; chunks are rounds.
  std::optional<Place> place() const { return place_; }
  void go_to(Place place);
  // Steps of the rounds [0, end) of the epoch that is at work.
  int64_t steps_before(int64_t end);

 private:
  Passed run_round(int64_t round);
  void order_rounds(int64_t epoch);

  const GlovePairs& pairs_;
  const GloveOptions options_;
  MatrixView<float> table_;
  int64_t plain_;
  std::vector<float> rates_, limits_;  // of w's last columns, then of c's
  std::vector<int64_t> order_;         // of rounds
  int64_t ordered_ = -1;               // in which epoch
  std::optional<Place> place_ = Place{0, 0};
  Idle<std::vector<GlovePair>> buffers_;
};

}  // namespace lowbit::vectors
