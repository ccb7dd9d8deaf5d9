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
      works_([] { return std::make_unique<Work>(); }),
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
  parallel_for(end - begin, 1, [&](int64_t first, int64_t last) {
    works_.with([&](Work& work) {
      Passed part;
      for (int64_t chunk = begin + first; chunk < begin + last; ++chunk) {
        make(epoch, chunk, work);
        train(work.buffer.view(), lr_at(epoch, chunk), work, input_, output_, part);
        part.words += words_of(chunk);
      }
      const std::lock_guard lock(mutex);
      total += part;
    });
  });
  return total;
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
        train(examples, lr, shard.work, shard.input.copies(),
              shard.output.copies(), shard.passed);
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
  const int64_t inputs = options_.method == Method::skipgram ? windows_.most_inputs() : 1;
  const int64_t floats = word_pairs_scratch(inputs, windows_.most_targets(), input_.stride);
  work.scratch = take<float>(floats);
  std::fill_n(work.scratch.get(), floats, 0.0f);
}

void Trainer::train(const WordExamples& examples, double lr, Work& work, MatrixView<float> input,
                    MatrixView<float> output, Passed& passed) const {
  WordPairsArgs args{};
  args.input = input.data, args.output = output.data;
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
