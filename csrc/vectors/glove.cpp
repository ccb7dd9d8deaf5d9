#include "vectors/glove.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/dispatch.hpp"
#include "vectors/sampling.hpp"

namespace lowbit::vectors {

using ops::kernels;

namespace {

// Streams of random words: one for each tile, one for each epoch. Vectors begin with stream 2^63.
constexpr uint64_t kTileStreams = uint64_t{1} << 61, kRoundStreams = uint64_t{1} << 62;
constexpr int64_t kStepBytes = sizeof(GlovePair);

void check_options(const GloveOptions& o) {
  const auto check_positive = [](const char* name, double value, double most) {
    check(value > 0 && value <= most, "WordVectors.train: ", name, "=", value,
          " must be above 0 and at most ", most);
  };
  check_positive("lr", o.lr, 10);
  check_positive("x_max", o.x_max, 1e18);
  check(o.alpha >= 0 && o.alpha <= 10, "WordVectors.train: alpha=", o.alpha,
        " must be between 0 and 10");
  check_positive("grad_clip", o.clip, 1e18);
}

GlovePair glove_pair(const PairCount& one, const GloveOptions& o) {
  const double count = static_cast<double>(one.count) * kCountUnit;
  const double weight = count < o.x_max ? std::pow(count / o.x_max, o.alpha) : 1.0;
  return {one.row(), one.column(), static_cast<float>(std::log(count)),
          static_cast<float>(weight)};
}

// Of Fisher and Yates, by a stream of its own.
template <class T>
void shuffle_by(uint64_t key, std::span<T> items) {
  uint64_t place = 0;
  Philox block(key, 0);
  for (size_t i = items.size(); i > 1; --i, ++place) {
    if (place > 0 && place % 4 == 0) block = Philox(key, place / 4);
    std::swap(items[i - 1], items[below(block.word[place % 4], static_cast<uint32_t>(i))]);
  }
}

}  // namespace

GlovePairs::GlovePairs(CooccurrenceCounter& counter, const GloveOptions& options, SpillFile& file)
    : tiles_(counter.tiles()),
      symmetric_(counter.options().symmetric),
      seed_((check_options(options), options.seed)),
      file_(file) {
  begin_.push_back(0);
  for (int64_t tile = 0; tile < tiles_.tiles(); ++tile)
    begin_.push_back(begin_.back() + counter.most_of(tile));
  count_.resize(static_cast<size_t>(tiles_.tiles()));
  steps_.resize(count_.size());
  const int64_t bytes = begin_.back() * kStepBytes;
  if (bytes <= counter.options().memory / 2)
    memory_ = take<GlovePair>(begin_.back() + 1);
  else
    place_ = file.reserve(bytes);
  counter.for_tiles([&](int64_t first, int64_t last, const CooccurrenceCounter::Counts& counts) {
    const int64_t begin = begin_[static_cast<size_t>(first)];
    const int64_t room = begin_[static_cast<size_t>(last)] - begin;
    std::vector<GlovePair> written(memory_ ? 0 : static_cast<size_t>(room));
    GlovePair* const out = memory_ ? memory_.get() + begin : written.data();
    for (int64_t tile = first; tile < last; ++tile) {
      const std::span<PairCount> from = counts[static_cast<size_t>(tile - first)];
      GlovePair* const to = out + (begin_[static_cast<size_t>(tile)] - begin);
      int64_t steps = 0;
      for (size_t i = 0; i < from.size(); ++i) {
        to[i] = glove_pair(from[i], options);
        steps += symmetric_ && to[i].row != to[i].column ? 2 : 1;
      }
      shuffle({to, from.size()}, tile);
      count_[static_cast<size_t>(tile)] = static_cast<int64_t>(from.size());
      steps_[static_cast<size_t>(tile)] = steps;
    }
    if (!memory_) file_.write(written.data(), room * kStepBytes, place_ + begin * kStepBytes);
  });
  counter.clear();
}

int64_t GlovePairs::steps() const {
  return std::accumulate(steps_.begin(), steps_.end(), int64_t{0});
}

void GlovePairs::shuffle(std::span<GlovePair> pairs, int64_t tile) const {
  shuffle_by(stream_key(seed_, kTileStreams + static_cast<uint64_t>(tile)), pairs);
}

std::span<const GlovePair> GlovePairs::of_tile(int64_t tile, std::vector<GlovePair>& buffer) const {
  const int64_t begin = begin_[static_cast<size_t>(tile)];
  const auto count = static_cast<size_t>(count_[static_cast<size_t>(tile)]);
  if (memory_) return {memory_.get() + begin, count};
  buffer.resize(count);
  file_.read(buffer.data(), static_cast<int64_t>(count) * kStepBytes, place_ + begin * kStepBytes);
  return buffer;
}

GloveTrainer::GloveTrainer(const GlovePairs& pairs, const GloveOptions& options,
                           MatrixView<float> table)
    : pairs_(pairs),
      options_((check_options(options), options)),
      table_(table),
      plain_(options.dim / 16 * 16),
      buffers_([] { return std::make_unique<std::vector<GlovePair>>(); }) {
  const int64_t stride = table.cols / 4;
  check(table.cols == 4 * stride && stride % 16 == 0 && stride >= options.dim + 2,
        "GloveTrainer: rows of ", table.cols, " values, expected four times a multiple of 16 of ",
        options.dim + 2, " or more");
  // Column dim of w and the next of c are biases; the other two are ones, which stay.
  const int64_t left = stride - plain_, bias = options.dim - plain_;
  const auto lr = static_cast<float>(options.lr);
  const auto limit = static_cast<float>(options.lr * options.clip);
  rates_.assign(static_cast<size_t>(2 * left), 0.0f);
  limits_.assign(static_cast<size_t>(2 * left), limit);
  for (const int64_t begin : {int64_t{0}, left}) {
    std::fill_n(rates_.begin() + begin, bias, lr);
    const auto own = static_cast<size_t>(begin == 0 ? bias : left + bias + 1);
    rates_[own] = options.plain_biases ? 1.0f : lr;
    if (options.plain_biases) limits_[own] = 1e30f;
  }
}

Passed GloveTrainer::run(int64_t epoch, int64_t begin, int64_t end) {
  check(epoch >= 0, "GloveTrainer.run: epoch=", epoch);
  check(begin >= 0 && begin <= end && end <= rounds(), "GloveTrainer.run: rounds ", begin, " to ",
        end, " of ", rounds());
  const ops::Trace trace("train_glove", table_.rows, options_.dim);
  order_rounds(epoch);
  place_.reset();
  Passed total;
  for (int64_t i = begin; i < end; ++i) total += run_round(order_[static_cast<size_t>(i)]);
  place_ = end == rounds() ? Place{epoch + 1, 0} : Place{epoch, end};
  return total;
}

void GloveTrainer::go_to(Place place) {
  check(place.epoch >= 0 && place.chunk >= 0 && place.chunk < rounds(),
        "WordVectors.resume: the corpus has no place ", place.chunk, " of epoch ", place.epoch);
  place_ = place;
}

int64_t GloveTrainer::steps_before(int64_t end) {
  check(end >= 0 && end <= rounds(), "GloveTrainer.words_before: round ", end, " of ", rounds());
  check(place_.has_value(), "GloveTrainer.words_before: the training has failed");
  order_rounds(place_->epoch);
  int64_t steps = 0;
  for (int64_t i = 0; i < end; ++i) {
    const auto [first, last] = pairs_.tiles().round(order_[static_cast<size_t>(i)]);
    for (int64_t tile = first; tile < last; ++tile) steps += pairs_.steps_of(tile);
  }
  return steps;
}

void GloveTrainer::order_rounds(int64_t epoch) {
  if (std::exchange(ordered_, epoch) == epoch) return;
  order_.resize(static_cast<size_t>(rounds()));
  std::iota(order_.begin(), order_.end(), 0);
  shuffle_by(stream_key(options_.seed, kRoundStreams + static_cast<uint64_t>(epoch)),
             std::span(order_));
}

Passed GloveTrainer::run_round(int64_t round) {
  const auto [first, last] = pairs_.tiles().round(round);
  std::vector<Passed> done(static_cast<size_t>(last - first));
  GloveArgs args{};
  args.table = table_.data;
  args.stride = table_.cols / 4;
  args.symmetric = pairs_.symmetric();
  args.lr = static_cast<float>(options_.lr);
  args.limit = static_cast<float>(options_.lr * options_.clip);
  args.plain = plain_;
  args.w_rates = rates_.data(), args.c_rates = rates_.data() + (args.stride - plain_);
  args.w_limits = limits_.data(), args.c_limits = limits_.data() + (args.stride - plain_);
  parallel_for(last - first, 1, [&, tile = first](int64_t i, int64_t stop) {
    buffers_.with([&](std::vector<GlovePair>& buffer) {
      GloveArgs own = args;
      for (; i < stop; ++i) {
        const auto pairs = pairs_.of_tile(tile + i, buffer);
        Passed& passed = done[static_cast<size_t>(i)];
        own.pairs = pairs.data(), own.count = static_cast<int64_t>(pairs.size());
        own.loss = &passed.loss, own.trained = &passed.pairs, own.left_out = &passed.words;
        kernels().glove(own);
      }
    });
  });
  Passed total;
  for (const Passed& one : done) total += one;  // in their order: sums of doubles depend on it
  check(total.words == 0, "WordVectors.train: the products of ", total.words,
        " pairs of vectors are not finite; lower lr=", options_.lr, " or grad_clip=",
        options_.clip);
  total.words = total.pairs;
  return total;
}

}  // namespace lowbit::vectors
