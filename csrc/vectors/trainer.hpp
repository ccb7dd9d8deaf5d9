// Stochastic gradient descent over the examples of a corpus, on all threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/memory.hpp"
#include "core/views.hpp"
#include "vectors/examples.hpp"
#include "vectors/idle.hpp"
#include "vectors/own_rows.hpp"

namespace lowbit::vectors {

enum class Method { skipgram, bags };  // the kernel

struct TrainerOptions {
  Method method = Method::skipgram;
  ExampleOptions examples;
  bool mean_gradient = false;  // as WordPairsArgs
  bool deterministic = false;
  int64_t epochs = 5;
  double lr = 0.025, min_lr = 1e-4;  // falls from the first to the second with every word
};

struct Passed {
  int64_t words = 0;  // of the corpus that were passed, the dropped ones too
  double loss = 0;    // of the examples it was computed for
  int64_t pairs = 0;  // of which there were so many

  void operator+=(const Passed& more) {
    words += more.words, loss += more.loss, pairs += more.pairs;
  }
};

// What comes next in a training: a chunk of an epoch.
struct Place {
  int64_t epoch, chunk;
};

// Threads share the tables without locks (Recht et al., 2011); of a large corpus, but for copies of
// frequent rows that each has of its own. Or, when it is deterministic, each of eight shards works
// on copies of the rows that its next kPiece examples need, and the changes of all eight are added
// in their order: the same bits on any number of threads.
class Trainer {
 public:
  // Tables [words, stride], the stride a multiple of 16, 64-byte aligned, zero beyond the vectors.
  // They and the corpus must outlive the trainer.
  // Inputs have rows for subwords, too, where these are given; targets are words, or, where a tree
  // is given, its inner nodes. Both may be null.
  Trainer(const Corpus& corpus, const Subwords* subwords, const WordTree* tree,
          const TrainerOptions& options, MatrixView<float> input, MatrixView<float> output);
  ~Trainer();

  // Chunks of whole sentences, about 1000 words each.
  int64_t chunks() const { return static_cast<int64_t>(chunk_begin_.size()) - 1; }
  // Trains on the chunks [begin, end) of an epoch. For the same bits as in one call, `begin` of a
  // deterministic training is a multiple of kShards.
  Passed run(int64_t epoch, int64_t begin, int64_t end);

  // What comes next: the chunk behind the last run, or the first of the next epoch. None if an
  // error broke a run off, which leaves chunks half done.
  std::optional<Place> place() const { return place_; }
  void go_to(Place place);
  // Rows of each table of which every thread would have copies of its own now.
  int64_t own_rows() const;
  // Words of the chunks [0, end) of an epoch.
  int64_t words_before(int64_t end) const;

  static constexpr int64_t kShards = 8, kPiece = 128;

 private:
  struct Worker;
  struct Shard;
  struct Work {
    ExampleBuffer buffer;
    Memory<float> scratch;
  };
  // The rows of a table that shards have merged.
  struct Merged {
    std::vector<const float*> before;
    std::vector<int32_t> in;

    void resize(int64_t rows) {
      before.resize(static_cast<size_t>(rows));
      in.resize(static_cast<size_t>(rows));
    }
  };

  void make(int64_t epoch, int64_t chunk, Work& work) const;
  void train(const WordExamples& examples, double lr, Work& work, const PairRows& input,
             const PairRows& output, Passed& passed) const;
  void prepare_workers();
  void train_own(Worker& worker, int64_t epoch, int64_t begin, int64_t end, Passed& passed);
  Passed run_shared(int64_t epoch, int64_t begin, int64_t end);
  Passed run_sharded(int64_t epoch, int64_t begin, int64_t end);
  Passed run_together(int64_t epoch, int64_t first, int64_t count);
  void merge(int64_t shards);
  double lr_at(int64_t epoch, int64_t chunk) const;
  int64_t words_of(int64_t chunk) const;

  const Corpus& corpus_;
  const TrainerOptions options_;
  const bool shared_negatives_, sliding_;
  const WindowMaker windows_;
  MatrixView<float> input_, output_;
  std::vector<int64_t> chunk_begin_;  // sentences, [chunks + 1]
  Idle<std::vector<int32_t>> places_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Shard>> shards_;
  Merged merged_input_, merged_output_;
  int32_t merges_ = 0;
  std::optional<Place> place_ = Place{0, 0};
};

}  // namespace lowbit::vectors
