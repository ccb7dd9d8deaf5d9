#include "vectors/cooccurrences.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::vectors {
namespace {

constexpr int64_t kCountedWords = 16'000;
constexpr int64_t kCountBytes = sizeof(PairCount);
constexpr int64_t kRangePairs = 1 << 16;  // of tiles that are gathered together, at least

void check_options(const CountOptions& o) {
  check(o.window >= 1 && o.window <= 1000, "WordVectors.train: window=", o.window,
        " must be between 1 and 1000");
  check(o.memory >= int64_t{1} << 20, "WordVectors.train: memory=", o.memory,
        " bytes must be at least 1 MiB");
}

}  // namespace

CooccurrenceCounter::CooccurrenceCounter(const Corpus& corpus, const PairTiles& tiles,
                                         const CountOptions& options, SpillFile& file)
    : corpus_(corpus),
      tiles_(tiles),
      options_((check_options(options), options)),
      file_(file),
      tables_([this] {
        auto table = std::make_unique<PairTable>(table_slots());
        all_tables_.push_back(table.get());  // Idle makes one at a time
        return table;
      }),
      buffers_([] { return std::make_unique<Buffer>(); }) {
  weights_.push_back(0);
  for (int64_t d = 1; d <= options.window; ++d) {
    const double weight = options.weighted ? 1.0 / static_cast<double>(d) : 1.0;
    weights_.push_back(static_cast<uint64_t>(std::llround(weight / kCountUnit)));
  }
  chunk_begin_.push_back(0);
  int64_t begin = 0;
  for (int64_t s = 1; s <= corpus.sentences(); ++s) {
    const int64_t end = corpus.sentence_begin[static_cast<size_t>(s)];
    if (end - begin < kCountedWords && s < corpus.sentences()) continue;
    chunk_begin_.push_back(s);
    begin = end;
  }
}

// Half of the memory for the tables, which grow by doubling, the other half for what is made of
// them.
int64_t CooccurrenceCounter::table_slots() const {
  const int64_t slots = options_.memory / 2 / kCountBytes / get_num_threads();
  return std::max<int64_t>(PairTable::kFewest,
                           static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(slots))));
}

void CooccurrenceCounter::run(int64_t begin, int64_t end) {
  check(begin >= 0 && begin <= end && end <= chunks(), "CooccurrenceCounter.run: chunks ", begin,
        " to ", end, " of ", chunks());
  check(!std::exchange(counting_, true), "CooccurrenceCounter.run: counting has failed");
  const ops::Trace trace("count_cooccurrences", end - begin);
  parallel_for(end - begin, 1, [&](int64_t first, int64_t last) {
    tables_.with([&](PairTable& table) {
      const auto from = static_cast<size_t>(begin + first), to = static_cast<size_t>(begin + last);
      for (int64_t s = chunk_begin_[from]; s < chunk_begin_[to]; ++s)
        count_sentence(corpus_.sentence_begin[static_cast<size_t>(s)],
                       corpus_.sentence_begin[static_cast<size_t>(s) + 1], table);
    });
  });
  counting_ = false;
}

void CooccurrenceCounter::count_sentence(int64_t begin, int64_t end, PairTable& table) {
  int64_t room = 0;  // in the table
  const int32_t* words = corpus_.tokens.data();
  for (int64_t p = begin + 1; p < end; ++p) {
    const auto right = static_cast<uint64_t>(words[p]);
    const int64_t far = std::min(options_.window, p - begin);
    if (room < far) {
      if (table.full()) spill(table);
      room = PairTable::kRoom;
    }
    room -= far;
    for (int64_t d = 1; d <= far; ++d) {
      const auto left = static_cast<uint64_t>(words[p - d]);
      const uint64_t weight = weights_[static_cast<size_t>(d)];
      if (!options_.symmetric) {
        table.add(left << 32 | right, weight);
      } else if (left == right) {
        table.add(left << 32 | right, 2 * weight);  // each is near the other
      } else {
        table.add(std::min(left, right) << 32 | std::max(left, right), weight);
      }
    }
  }
}

CooccurrenceCounter::Run CooccurrenceCounter::sorted_by_tiles(PairTable& table) const {
  Run run;
  run.begin.assign(static_cast<size_t>(tiles_.tiles()) + 1, 0);
  const auto tile = [&](const PairCount& one) {
    return static_cast<size_t>(tiles_.tile_of(one.row(), one.column()));
  };
  run.pairs = take<PairCount>(table.used());
  table.for_each([&](const PairCount& one) { ++run.begin[tile(one) + 1]; });
  std::partial_sum(run.begin.begin(), run.begin.end(), run.begin.begin());
  std::vector<int64_t> next(run.begin.begin(), run.begin.end() - 1);
  table.for_each([&](const PairCount& one) { run.pairs[next[tile(one)]++] = one; });
  return run;
}

void CooccurrenceCounter::write(Run& run) {
  run.place = file_.reserve(run.begin.back() * kCountBytes);
  file_.write(run.pairs.get(), run.begin.back() * kCountBytes, run.place);
  run.pairs.reset();
}

void CooccurrenceCounter::spill(PairTable& table) {
  Run run = sorted_by_tiles(table);
  table.empty();
  write(run);
  const std::lock_guard lock(mutex_);
  runs_.push_back(std::move(run));
  ++spilled_;
}

// Tables become runs one after the other, so that there are no two of each at a time. Where there
// is a run in the file, the others go there, too.
void CooccurrenceCounter::finish() {
  check(!counting_, "CooccurrenceCounter.finish: counting has failed");
  for (PairTable* table : std::exchange(all_tables_, {})) {
    Run run = sorted_by_tiles(*table);
    table->clear();
    if (spilled_ > 0) {
      write(run);
      ++spilled_;
    }
    runs_.push_back(std::move(run));
  }
}

int64_t CooccurrenceCounter::most_of(int64_t tile) const {
  int64_t sum = 0;
  const auto at = static_cast<size_t>(tile);
  for (const Run& run : runs_) sum += run.begin[at + 1] - run.begin[at];
  return sum;
}

int64_t CooccurrenceCounter::most() const {
  int64_t sum = 0;
  for (const Run& run : runs_) sum += run.begin.back();
  return sum;
}

// Consecutive tiles whose pairs take an eighth of a thread's memory, or one that takes more.
std::vector<int64_t> CooccurrenceCounter::tile_ranges() const {
  const int64_t room = options_.memory / 8 / kCountBytes / get_num_threads();
  const int64_t most_pairs = std::max(kRangePairs, std::min(room, most() / 64));
  std::vector<int64_t> ranges(1, 0);
  int64_t pairs = 0;
  for (int64_t tile = 0; tile < tiles_.tiles(); ++tile) {
    const int64_t more = most_of(tile);
    if (pairs + more > most_pairs && tile > ranges.back()) {
      ranges.push_back(tile);
      pairs = 0;
    }
    pairs += more;
  }
  ranges.push_back(tiles_.tiles());
  return ranges;
}

void CooccurrenceCounter::for_tiles(
    const std::function<void(int64_t, int64_t, const Counts&)>& use) {
  const std::vector<int64_t> ranges = tile_ranges();
  parallel_for(static_cast<int64_t>(ranges.size()) - 1, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const auto at = static_cast<size_t>(i);
      buffers_.with([&](Buffer& buffer) {
        gather(ranges[at], ranges[at + 1], buffer);
        use(ranges[at], ranges[at + 1], buffer.counts);
      });
    }
  });
}

void CooccurrenceCounter::gather(int64_t first, int64_t last, Buffer& buffer) {
  const auto from = static_cast<size_t>(first), to = static_cast<size_t>(last);
  // What each run has of these tiles; those in the file one behind the other.
  std::vector<const PairCount*> parts;
  int64_t pairs = 0, in_file = 0;
  for (const Run& run : runs_) {
    const int64_t count = run.begin[to] - run.begin[from];
    pairs += count;
    if (!run.pairs) in_file += count;
  }
  buffer.read.resize(static_cast<size_t>(in_file));
  buffer.sorted.resize(static_cast<size_t>(pairs));
  PairCount* read = buffer.read.data();
  for (const Run& run : runs_) {
    const int64_t count = run.begin[to] - run.begin[from];
    if (run.pairs) {
      parts.push_back(run.pairs.get() + run.begin[from]);
      continue;
    }
    file_.read(read, count * kCountBytes, run.place + run.begin[from] * kCountBytes);
    parts.push_back(read);
    read += count;
  }
  buffer.counts.clear();
  PairCount* out = buffer.sorted.data();
  for (size_t tile = from; tile < to; ++tile) {
    PairCount* const begin = out;
    for (size_t r = 0; r < runs_.size(); ++r) {
      const int64_t count = runs_[r].begin[tile + 1] - runs_[r].begin[tile];
      out = std::copy_n(parts[r], count, out);
      parts[r] += count;
    }
    std::sort(begin, out, [](const auto& a, const auto& b) { return a.pair < b.pair; });
    PairCount* end = begin;
    for (const PairCount* one = begin; one < out; ++one) {
      if (end > begin && end[-1].pair == one->pair)
        end[-1].count += one->count;
      else
        *end++ = *one;
    }
    buffer.counts.push_back({begin, end});
  }
}

}  // namespace lowbit::vectors
