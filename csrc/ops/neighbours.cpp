#include "ops/neighbours.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <optional>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/neighbour_bounds.hpp"
#include "ops/packed_rows.hpp"

namespace lowbit::ops {
namespace {

// Queries of a task at most, a multiple of 32, and rows of the table that are multiplied at a time:
// their products stay in the second-level cache, beside the rows. The first rows are fewer, since
// all of them are scored, and so are the next, since the bound gets much better with each.
constexpr int64_t kTaskQueries = 512, kTaskProducts = 65536;
constexpr int64_t kFirstTableRows = 64, kLeastTableRows = 128, kMostTableRows = 4096;

// Values that are rounded at a time: they are asked for while those before them are multiplied, and
// stay in the second-level cache until then, unless rows have more columns.
constexpr int64_t kRoundedValues = 65536, kMostAskedColumns = 2048;

// Masks are read four at a time.
constexpr int64_t kMasksTogether = 4;

// Queries from which rows are rounded. For fewer, products in float32 take less time than reading
// the rows does.
constexpr int64_t kRoundedFor = 5;

Compute compute_for(const NeighbourTable& table, int64_t queries) {
  return table.int8 || queries >= kRoundedFor ? Compute::int8 : Compute::fp32;
}

// The k best so far of some queries: heaps, the worst first.
class BestRows {
 public:
  BestRows() = default;
  BestRows(int64_t queries, int64_t k)
      : k_(k), best_(static_cast<size_t>(queries * k)), counts_(static_cast<size_t>(queries)) {}

  int64_t count(int64_t query) const { return counts_[query]; }
  Best* of(int64_t query) { return best_.data() + query * k_; }
  // Null until there are k.
  const Best* worst(int64_t query) const {
    return counts_[query] == k_ ? best_.data() + query * k_ : nullptr;
  }

  void offer(int64_t query, const Best& candidate) {
    Best* heap = of(query);
    int64_t& count = counts_[query];
    if (count == k_) {
      if (!better(candidate, heap[0])) return;
      std::pop_heap(heap, heap + count--, better);
    }
    heap[count++] = candidate;
    std::push_heap(heap, heap + count, better);
  }

 private:
  int64_t k_ = 0;
  std::vector<Best> best_;
  std::vector<int64_t> counts_;
};

// A stretch of queries with a stretch of rows.
struct SearchTask {
  int64_t query_begin, query_end;
  int64_t row_begin, row_end;
};

class Search {
 public:
  Search(const NeighbourTable& table, MatrixView<const float> queries, Compute compute)
      : table_(table),
        queries_(queries),
        compute_(compute),
        bounds_(table, queries, compute),
        packed_({bounds_.multiplied(), weight_of_kind()}, packing(), {}, rounding()) {}

  // Returns how many rows were scored.
  int64_t run(const SearchTask& task, BestRows& best) const {
    const int64_t queries = task.query_end - task.query_begin;
    const int64_t most = table_rows(queries);
    Tile tile(table_, queries, most);
    int64_t scored = 0;
    for (int64_t row = task.row_begin, count = kFirstTableRows; row < task.row_end; row += count) {
      if (row > task.row_begin) count = std::min(most, row - task.row_begin);
      const int64_t end = std::min(row + count, task.row_end);
      select(task, row, end, best, tile);
      for (int64_t query = 0; query < queries; ++query)
        scored += score(task.query_begin + query, row, end, tile, query, best);
    }
    return scored;
  }

 private:
  // Memory for the products of a task's queries with some rows, and what follows from them.
  struct Tile {
    Tile(const NeighbourTable& table, int64_t queries, int64_t rows)
        : most(rows),
          room(take<uint8_t>(table.room_for(rows))),
          products(take<float>(queries * rows)),
          mask_stride(rows / kBlockRows),
          masks(take<uint16_t>(queries * mask_stride)),
          bounds(static_cast<size_t>(queries)),
          candidates(static_cast<size_t>(rows)),
          scores(static_cast<size_t>(rows)) {}
    int64_t most;
    Memory<uint8_t> room;
    Memory<float> products;
    int64_t mask_stride;
    Memory<uint16_t> masks;
    std::vector<ProductBound> bounds;
    std::vector<int32_t> candidates;
    std::vector<double> scores;
  };

  bool rounds() const { return compute_ == Compute::int8 && !table_.int8; }
  // Of the table at a time, a multiple of the first ones.
  int64_t table_rows(int64_t queries) const {
    int64_t fit = std::clamp(kTaskProducts / queries, kLeastTableRows, kMostTableRows);
    if (rounds()) fit = std::min(fit, kRoundedValues / table_.rows.cols);
    return std::max<int64_t>(1, fit / kFirstTableRows) * kFirstTableRows;
  }
  // The rows that come after others, if asking for them ahead pays.
  const uint8_t* next_rows(const SearchTask& task, int64_t end) const {
    const MatrixView<const float>& rows = table_.rows;
    const bool pays = rounds() && rows.stride == rows.cols && rows.cols <= kMostAskedColumns;
    if (!pays || end == task.row_end) return nullptr;
    return reinterpret_cast<const uint8_t*>(rows.row(end));
  }

  // What packing needs to know of the rows, before there are any.
  WeightView weight_of_kind() const {
    if (compute_ == Compute::fp32) return table_.exact(0, table_.rows.rows);
    WeightView w;
    w.format = Format::int8, w.cols = w.group_size = table_.rows.cols, w.groups = 1;
    return w;
  }
  Packing packing() const {
    MatmulArgs args{};
    args.first.x = queries_;
    args.y.cols = table_.rows.rows;
    return choose_packing(args, compute_);
  }
  static Int8Rounding rounding() {
    Int8Rounding rounding;
    rounding.of = Int8Scale::row;
    return rounding;
  }

  // Marks the rows that may be among the best.
  void select(const SearchTask& task, int64_t begin, int64_t end, const BestRows& best,
              Tile& tile) const {
    const int64_t queries = task.query_end - task.query_begin;
    MatmulArgs args{};
    args.first = packed_.rows(task.query_begin, task.query_end);
    const bool int8 = compute_ == Compute::int8;
    args.first.weight =
        int8 ? table_.rounded(begin, end, tile.room.get()) : table_.exact(begin, end);
    args.scale = 1;
    args.next = next_rows(task, end);
    args.y = {tile.products.get(), queries, end - begin, tile.most};
    multiply_here(args, compute_);
    for (int64_t query = 0; query < queries; ++query)
      tile.bounds[query] = bounds_.bound(task.query_begin + query, best.worst(query));
    const auto from = [&](const std::vector<float>& values) {
      return values.empty() ? nullptr : values.data() + begin;
    };
    std::memset(tile.masks.get(), 0, static_cast<size_t>(2 * queries * tile.mask_stride));
    kernels().select_rows({args.y, from(table_.offsets), int8 ? from(table_.radii) : nullptr,
                           from(int8 ? table_.rounded_sizes : table_.sizes), tile.bounds.data(),
                           tile.masks.get(), tile.mask_stride});
  }

  int64_t score(int64_t query, int64_t begin, int64_t end, Tile& tile, int64_t place,
                BestRows& best) const {
    const uint16_t* masks = tile.masks.get() + place * tile.mask_stride;
    int64_t count = 0;
    for (int64_t i = 0; i < ceil_div(end - begin, kBlockRows); i += kMasksTogether) {
      uint64_t bits;
      std::memcpy(&bits, masks + i, sizeof bits);
      for (; bits; bits &= bits - 1)
        tile.candidates[count++] =
            static_cast<int32_t>(begin + i * kBlockRows + std::countr_zero(bits));
    }
    if (count == 0) return 0;
    kernels().score_rows({queries_.row(query), table_.rows, tile.candidates.data(), count,
                          table_.metric == Metric::euclidean, tile.scores.data()});
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = tile.candidates[i];
      best.offer(place, {bounds_.score(query, row, tile.scores[i]), row});
    }
    return count;
  }

  const NeighbourTable& table_;
  MatrixView<const float> queries_;
  Compute compute_;
  QueryBounds bounds_;
  PackedRows packed_;
};

// Stretches of queries for every thread where there are as many; else every thread has some rows.
std::vector<SearchTask> search_tasks(int64_t queries, int64_t rows) {
  const int64_t threads = get_num_threads();
  int64_t parts = ceil_div(queries, kTaskQueries);
  if (parts > 1) parts = round_up(parts, threads);
  const int64_t query_step = round_up(ceil_div(queries, parts), 32);
  parts = ceil_div(queries, query_step);
  const int64_t row_parts = parts >= threads ? 1 : ceil_div(threads, parts);
  const int64_t row_step = round_up(ceil_div(rows, row_parts), kFirstTableRows);
  std::vector<SearchTask> tasks;
  for (int64_t query = 0; query < queries; query += query_step)
    for (int64_t row = 0; row < rows; row += row_step)
      tasks.push_back({query, std::min(query + query_step, queries), row,
                       std::min(row + row_step, rows)});
  return tasks;
}

// Writes the best of all tasks that have the queries of `tasks[0]`; returns how many those are.
size_t write_best(const SearchTask* tasks, const SearchTask* end, BestRows* found, bool negative,
                  MatrixView<float> scores, MatrixView<int64_t> rows) {
  size_t count = 1;
  while (tasks + count < end && tasks[count].query_begin == tasks->query_begin) ++count;
  std::vector<Best> all;
  for (int64_t query = tasks->query_begin; query < tasks->query_end; ++query) {
    const int64_t place = query - tasks->query_begin;
    all.clear();
    for (size_t i = 0; i < count; ++i)
      all.insert(all.end(), found[i].of(place), found[i].of(place) + found[i].count(place));
    std::partial_sort(all.begin(), all.begin() + scores.cols, all.end(), better);
    for (int64_t i = 0; i < scores.cols; ++i) {
      scores.row(query)[i] = negative ? -all[i].score : all[i].score;
      rows.row(query)[i] = all[i].row;
    }
  }
  return count;
}

}  // namespace

int64_t nearest(const NeighbourTable& table, MatrixView<const float> queries, int64_t k,
                int64_t limit, MatrixView<float> scores, MatrixView<int64_t> rows) {
  check(queries.cols == table.rows.cols, kSearchName, ": queries have ", queries.cols,
        " columns, the table has ", table.rows.cols);
  check(limit >= 0 && limit <= table.rows.rows, kSearchName, ": limit=", limit,
        " is not one of the table's ", table.rows.rows, " rows");
  check(k >= 1 && k <= limit, kSearchName, ": k=", k, " is not between 1 and the ", limit, " rows");
  check_shape(kSearchName, "scores", scores, queries.rows, k);
  check_shape(kSearchName, "rows", rows, queries.rows, k);
  if (queries.rows == 0) return 0;
  const Compute compute = compute_for(table, queries.rows);
  Trace trace("nearest", table.int8 ? "int8" : "fp32", "M", queries.rows, "N", limit, "K",
              queries.cols, "k", k);
  const Search search(table, queries, compute);
  const std::vector<SearchTask> tasks = search_tasks(queries.rows, limit);
  std::vector<BestRows> found(tasks.size());
  std::atomic<int64_t> scored{0};
  parallel_for(std::ssize(tasks), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const SearchTask& task = tasks[i];
      const int64_t most = std::min(k, task.row_end - task.row_begin);
      found[i] = BestRows(task.query_end - task.query_begin, most);
      scored += search.run(task, found[i]);
    }
  });
  for (size_t i = 0; i < tasks.size();)
    i += write_best(tasks.data() + i, tasks.data() + tasks.size(), found.data() + i,
                    table.metric == Metric::euclidean, scores, rows);
  return scored;
}

}  // namespace lowbit::ops
