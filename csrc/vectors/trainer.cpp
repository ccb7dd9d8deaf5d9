#include "vectors/trainer.hpp"

#include <algorithm>
#include <bit>
#include <mutex>
#include <utility>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/dispatch.hpp"
#include "vectors/row_copies.hpp"

namespace lowbit::vectors {

using ops::kernels;

namespace {

constexpr int64_t kChunkWords = 1000;
constexpr int64_t kLossEvery = 16;  // examples
constexpr int64_t kMergeParts = 64;
// Of threads that have rows of their own: of the most frequent ones, so many a chunk are exchanged
// for every thread, up to a limit; of a table all threads together have copies of so many floats;
// and in an epoch each has so many chunks at least, or shares all rows, since what is exchanged too
// seldom is learned more slowly.
constexpr int64_t kOften = 8, kMostOften = 64;
constexpr int64_t kOwnFloats = int64_t{1} << 22;
constexpr int64_t kOwnChunks = 1000;

void check_options(const Corpus& corpus, const TrainerOptions& o, bool draws) {
  const ExampleOptions& e = o.examples;
  const auto in_range = [](const char* name, double value, double low, double high) {
    check(value >= low && value <= high, "WordVectors.train: ", name, "=", value,
          " must be between ", low, " and ", high);
  };
  check(!corpus.words.empty(), "WordVectors.train: the corpus has no frequent word");
  in_range("window", static_cast<double>(e.window), 1, 1000);
  in_range("negative", static_cast<double>(e.negative), draws ? 1 : 0, 1000);
  in_range("sample", e.sample, 0, 1);
  in_range("ns_exponent", e.exponent, -10, 10);
  in_range("epochs", static_cast<double>(o.epochs), 1, 1e6);
  in_range("lr", o.lr, 0, 10);
  in_range("min_lr", o.min_lr, 0, o.lr);
}

// How often kPiece examples may name a row before its change counts less: at a learning rate of 0.1
// 16 times diverge and 6 do not, at 0.05 neither do 16.
float often_at(double lr) { return static_cast<float>(std::min(16.0, 0.6 / lr)); }

}  // namespace

// A thread of those that share the tables.
struct Trainer::Worker {
  int64_t threads;
  OwnRows input, output;
  Work work;
  int64_t chunks = 0;

  Worker(int64_t threads, OwnRows in, OwnRows out)
      : threads(threads), input(std::move(in)), output(std::move(out)) {}

  // What two threads changed may always be added up: each goes no further than to where the row
  // would come to rest, so both together end less far away than they began.
  void note_rows() {
    if (threads > 2) input.note(work.buffer.inputs), output.note(work.buffer.targets);
  }
  // Behind chunks 1, 2, 3, 4, ... a thread exchanges 1, 2, 1, 4, ... times as many rows: the more
  // frequent a row is, the more often, so that all are named about as many times between.
  void end_chunk(float often) {
    ++chunks;
    exchange(std::min(kMostOften, kOften * threads) * (chunks & -chunks), often);
  }
  void exchange(int64_t count, float often) {
    if (input.count() == 0) return;
    const float share = 1 / static_cast<float>(threads);
    often *= static_cast<float>(kShards) * share;
    input.exchange(count, often, share), output.exchange(count, often, share);
  }
};

struct Trainer::Shard {
  Work work;
  RowCopies input, output;
  Passed passed;

  Shard() : input(kShards), output(kShards) {}
};

Trainer::Trainer(const Corpus& corpus, const Subwords* subwords, const WordTree* tree,
                 const TrainerOptions& options, MatrixView<float> input, MatrixView<float> output)
    : corpus_(corpus),
      options_((check_options(corpus, options, !tree), options)),
      shared_negatives_(!tree),
      sliding_(!subwords),
      windows_(corpus, subwords, tree, options.examples),
      input_(input),
      output_(output),
      places_([words = std::max(input.rows, output.rows)] {
        return std::make_unique<std::vector<int32_t>>(static_cast<size_t>(words), -1);
      }) {
  const auto words = static_cast<int64_t>(corpus.words.size());
  check(!tree || tree->words() == words, "WordTrainer: the tree has not the words of the corpus");
  const auto rows = words + (subwords ? static_cast<int64_t>(subwords->buckets().size()) : 0);
  const int64_t targets = tree ? tree->inner_nodes() : words;
  check(input.rows == rows && output.rows == targets && input.stride == output.stride &&
            input.stride % 16 == 0 && input.stride > 0,
        "WordTrainer: the tables have ", input.rows, " and ", output.rows, " rows of ",
        input.stride, " and ", output.stride, " values, expected ", rows, " and ", targets,
        " rows of a multiple of 16");
  chunk_begin_.push_back(0);
  int64_t begin = 0;
  for (int64_t s = 1; s <= corpus.sentences(); ++s) {
    const int64_t end = corpus.sentence_begin[static_cast<size_t>(s)];
    if (end - begin < kChunkWords && s < corpus.sentences()) continue;
    chunk_begin_.push_back(s);
    begin = end;
  }
  if (!options.deterministic) return;
  for (int64_t i = 0; i < kShards; ++i) shards_.push_back(std::make_unique<Shard>());
  merged_input_.resize(input.rows);
  merged_output_.resize(output.rows);
}

Trainer::~Trainer() = default;

int64_t Trainer::own_rows() const {
  const int64_t threads = get_num_threads();
  if (threads == 1 || options_.deterministic || chunks() / threads < kOwnChunks) return 0;
  const auto words = static_cast<int64_t>(corpus_.words.size());
  return std::min(words, kOwnFloats / threads / input_.stride);
}

void Trainer::prepare_workers() {
  const int64_t threads = get_num_threads(), rows = own_rows();
  if (std::ssize(workers_) == threads) return;
  workers_.clear();
  for (int64_t i = 0; i < threads; ++i)
    workers_.push_back(std::make_unique<Worker>(threads, OwnRows(input_, rows, false),
                                                OwnRows(output_, rows, !shared_negatives_)));
}

Passed Trainer::run(int64_t epoch, int64_t begin, int64_t end) {
  check(epoch >= 0 && epoch < options_.epochs, "Trainer.run: epoch=", epoch, " of ",
        options_.epochs);
  check(begin >= 0 && begin <= end && end <= chunks(), "Trainer.run: chunks ", begin, " to ", end,
        " of ", chunks());
  check(!options_.deterministic || begin % kShards == 0, "Trainer.run: begin=", begin,
        " is no multiple of ", kShards);
  const ops::Trace trace("train_vectors", input_.rows, input_.cols);
  place_.reset();
  const Passed passed =
      options_.deterministic ? run_sharded(epoch, begin, end) : run_shared(epoch, begin, end);
  place_ = end == chunks() ? Place{epoch + 1, 0} : Place{epoch, end};
  return passed;
}

void Trainer::go_to(Place place) {
  check(place.epoch >= 0 && place.epoch <= options_.epochs && place.chunk >= 0 &&
            place.chunk < chunks(),
        "WordVectors.resume: the corpus has no place ", place.chunk, " of epoch ", place.epoch);
  place_ = place;
}

Passed Trainer::run_shared(int64_t epoch, int64_t begin, int64_t end) {
  std::mutex mutex;
  Passed total;
  prepare_workers();
  const auto threads = std::ssize(workers_);
  int64_t next = begin;
  const auto next_chunks = [&] {
    const std::lock_guard lock(mutex);
    const int64_t first = next;
    next += ceil_div(end - first, 4 * threads);
    return std::pair(first, next);
  };
  parallel_for(threads, 1, [&](int64_t i, int64_t stop) {
    for (; i < stop; ++i) {
      Worker& worker = *workers_[static_cast<size_t>(i)];
      Passed part;
      for (auto chunks = next_chunks(); chunks.first < chunks.second; chunks = next_chunks())
        train_own(worker, epoch, chunks.first, chunks.second, part);
      worker.exchange(worker.input.count(), often_at(lr_at(epoch, end - 1)));
      const std::lock_guard lock(mutex);
      total += part;
    }
  });
  return total;
}

void Trainer::train_own(Worker& worker, int64_t epoch, int64_t begin, int64_t end, Passed& passed) {
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const double lr = lr_at(epoch, chunk);
    make(epoch, chunk, worker.work);
    worker.note_rows();
    train(worker.work.buffer.view(), lr, worker.work, worker.input.rows(), worker.output.rows(),
          passed);
    worker.end_chunk(often_at(lr));
    passed.words += words_of(chunk);
  }
}

Passed Trainer::run_sharded(int64_t epoch, int64_t begin, int64_t end) {
  Passed total;
  for (int64_t first = begin; first < end; first += kShards)
    total += run_together(epoch, first, std::min(kShards, end - first));
  return total;
}

// A chunk for each shard, in step: a piece of each, then the changes of all.
Passed Trainer::run_together(int64_t epoch, int64_t first, int64_t count) {
  parallel_for(count, 1, [&](int64_t i, int64_t stop) {
    for (; i < stop; ++i) make(epoch, first + i, shards_[static_cast<size_t>(i)]->work);
  });
  int64_t longest = 0;
  for (int64_t i = 0; i < count; ++i)
    longest = std::max(longest, shards_[static_cast<size_t>(i)]->work.buffer.size());
  for (int64_t piece = 0; piece < longest; piece += kPiece) {
    parallel_for(count, 1, [&](int64_t i, int64_t stop) {
      for (; i < stop; ++i) {
        Shard& shard = *shards_[static_cast<size_t>(i)];
        const double lr = lr_at(epoch, first + i);
        const WordExamples examples = shard.work.buffer.part(piece, piece + kPiece);
        places_.with([&](std::vector<int32_t>& places) {
          const float often = often_at(lr);
          shard.input.take_rows(input_, shard.work.buffer.inputs_of(examples), places, often);
          shard.output.take_rows(output_, shard.work.buffer.targets_of(examples), places, often);
        });
        train(examples, lr, shard.work, shard.input.pair_rows(), shard.output.pair_rows(),
              shard.passed);
      }
    });
    merge(count);
  }
  Passed total;
  for (int64_t i = 0; i < count; ++i) {
    total += std::exchange(shards_[static_cast<size_t>(i)]->passed, {});
    total.words += words_of(first + i);
  }
  return total;
}

// Every row is one thread's, which takes the shards in their order.
void Trainer::merge(int64_t count) {
  const int64_t parts = std::min<int64_t>(
      std::bit_ceil(static_cast<uint32_t>(get_num_threads())), kMergeParts);
  ++merges_;
  const auto rows_of = [&](RowCopies& copies, MatrixView<float> table, Merged& merged,
                           int64_t part) {
    kernels().merge_rows({table, copies.copies(), copies.rows(), copies.weights(),
                          merged.before.data(), merged.in.data(), merges_,
                          static_cast<int32_t>(part), static_cast<int32_t>(parts - 1)});
  };
  parallel_for(parts, 1, [&](int64_t part, int64_t stop) {
    for (; part < stop; ++part)
      for (int64_t i = 0; i < count; ++i) {
        Shard& shard = *shards_[static_cast<size_t>(i)];
        rows_of(shard.input, input_, merged_input_, part);
        rows_of(shard.output, output_, merged_output_, part);
      }
  });
}

void Trainer::make(int64_t epoch, int64_t chunk, Work& work) const {
  const auto at = static_cast<size_t>(chunk);
  windows_.make(epoch, chunk_begin_[at], chunk_begin_[at + 1], work.buffer);
  if (work.scratch) return;
  const int64_t inputs = windows_.most_inputs(), targets = windows_.most_targets();
  const int64_t floats = options_.method == Method::skipgram
                             ? word_pairs_scratch(inputs, targets)
                             : word_bags_scratch(inputs, targets, input_.stride);
  work.scratch = take<float>(floats);
  std::fill_n(work.scratch.get(), floats, 0.0f);
}

void Trainer::train(const WordExamples& examples, double lr, Work& work, const PairRows& input,
                    const PairRows& output, Passed& passed) const {
  WordPairsArgs args{};
  args.input = input, args.output = output;
  args.stride = input_.stride;
  args.examples = examples;
  args.sliding = sliding_;
  args.shared_negatives = shared_negatives_;
  args.lr = static_cast<float>(lr);
  args.mean_gradient = options_.mean_gradient;
  args.loss_every = kLossEvery;
  args.loss = &passed.loss;
  args.loss_pairs = &passed.pairs;
  args.scratch = work.scratch.get();
  (options_.method == Method::skipgram ? kernels().skipgram : kernels().word_bags)(args);
}

int64_t Trainer::words_before(int64_t end) const {
  check(end >= 0 && end <= chunks(), "WordTrainer.words_before: chunk ", end, " of ", chunks());
  const int64_t sentence = chunk_begin_[static_cast<size_t>(end)];
  return corpus_.sentence_begin[static_cast<size_t>(sentence)];
}

int64_t Trainer::words_of(int64_t chunk) const {
  return words_before(chunk + 1) - words_before(chunk);
}

// By the place in the corpus, not by what threads have done.
double Trainer::lr_at(int64_t epoch, int64_t chunk) const {
  const auto total = static_cast<double>(corpus_.tokens.size());
  const auto place = static_cast<double>(words_before(chunk));
  const double done = (static_cast<double>(epoch) + place / total) /
                      static_cast<double>(options_.epochs);
  return std::max(options_.min_lr, options_.lr + (options_.min_lr - options_.lr) * done);
}

}  // namespace lowbit::vectors
