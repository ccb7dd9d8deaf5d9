#include "ops/row_gradient.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <utility>
#include <vector>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

// Where a row was read: its number above, the place among the ids below.
using Reading = uint64_t;
int32_t row_of(Reading r) { return static_cast<int32_t>(r >> 32); }
int64_t place_of(Reading r) { return static_cast<int64_t>(r & 0xffffffff); }

// Readings by row, and of a row in the order of their places: a radix sort, 11 bits at a time.
std::vector<Reading> sorted_readings(const int32_t* ids, int64_t count, int64_t rows) {
  constexpr int kDigit = 11;
  std::vector<Reading> readings(static_cast<size_t>(count)), sorted(readings.size());
  for (int64_t i = 0; i < count; ++i)
    readings[i] = static_cast<uint64_t>(ids[i]) << 32 | static_cast<uint64_t>(i);
  for (int shift = 0; ((rows - 1) >> shift) > 0; shift += kDigit) {
    std::array<int64_t, 1 << kDigit> places{};
    const auto digit = [&](Reading r) { return r >> (32 + shift) & ((1 << kDigit) - 1); };
    for (const Reading r : readings) ++places[digit(r)];
    int64_t begin = 0;
    for (int64_t& place : places) begin += std::exchange(place, begin);
    for (const Reading r : readings) sorted[places[digit(r)]++] = r;
    readings.swap(sorted);
  }
  return readings;
}

// A row's gradient is a bag of rows of dout: those of its readings.
struct Sums {
  std::vector<int32_t> sources;  // rows of dout
  std::vector<float> weights;    // of these, or none
  std::vector<int64_t> indptr{0};
};

RowGradient add_up(MatrixView<const float> dout, const std::vector<Reading>& readings,
                   const Sums& sums) {
  const int64_t readings_count = std::ssize(readings), count = std::ssize(sums.indptr) - 1;
  RowGradient g{count, dout.cols, take<int32_t>(count), take<float>(count * dout.cols)};
  for (int64_t i = 0; i < count; ++i) g.rows[i] = row_of(readings[sums.indptr[i]]);
  const TableView table{Format::fp32, dout.rows, dout.cols, dout.data};
  const MatrixView<float> values(g.values.get(), count, dout.cols);
  const int64_t average = count ? ceil_div(readings_count, count) : 0;
  parallel_for(count, row_grain((average + 1) * dout.cols), [&](int64_t begin, int64_t end) {
    kernels().embed_bag({table, sums.sources.data(), readings_count, sums.indptr.data(),
                         sums.weights.empty() ? nullptr : sums.weights.data(), false, values,
                         false, begin, end});
  });
  return g;
}

Sums sums_of(const std::vector<Reading>& readings) {
  Sums sums;
  sums.sources.reserve(readings.size());
  for (size_t i = 1; i < readings.size(); ++i)
    if (row_of(readings[i]) != row_of(readings[i - 1]))
      sums.indptr.push_back(static_cast<int64_t>(i));
  if (!readings.empty()) sums.indptr.push_back(std::ssize(readings));
  return sums;
}

void check_count(const char* function, int64_t ids) {
  check(ids <= std::numeric_limits<int32_t>::max(), function, ": ", ids,
        " ids are too many; pass at most 2147483647 at a time");
}

}  // namespace

RowGradient embed_backward(MatrixView<const float> dout, const Ids& ids, int64_t rows) {
  check(dout.rows == ids.size, "embed_backward: dout has ", dout.rows, " rows, there are ",
        ids.size, " ids");
  check_count("embed_backward", ids.size);
  const RowIds row_ids("embed_backward", "word", ids, rows);
  Trace trace("embed_backward", "M", ids.size, "D", dout.cols);
  const std::vector<Reading> readings = sorted_readings(row_ids.data(), ids.size, rows);
  Sums sums = sums_of(readings);
  for (const Reading r : readings) sums.sources.push_back(static_cast<int32_t>(place_of(r)));
  return add_up(dout, readings, sums);
}

RowGradient embed_bag_backward(MatrixView<const float> dout, const Bags& bags, int64_t rows) {
  check_bags("embed_bag_backward", bags);
  check(dout.rows == bags.indptr.size - 1, "embed_bag_backward: dout has ", dout.rows,
        " rows, there are ", bags.indptr.size - 1, " bags");
  check_count("embed_bag_backward", bags.ids.size);
  check_count("embed_bag_backward", dout.rows);
  const RowIds row_ids("embed_bag_backward", "table", bags.ids, rows);
  Trace trace("embed_bag_backward", "M", bags.ids.size, "bags", dout.rows, "D", dout.cols);
  std::vector<int32_t> bag_of(static_cast<size_t>(bags.ids.size));
  std::vector<float> shares(bags.mode == "mean" ? bag_of.size() : 0);
  for (int64_t b = 0; b < dout.rows; ++b) {
    const int64_t begin = bags.indptr[b], end = bags.indptr[b + 1];
    std::fill(bag_of.begin() + begin, bag_of.begin() + end, static_cast<int32_t>(b));
    if (!shares.empty())
      std::fill(shares.begin() + begin, shares.begin() + end,
                1.0f / static_cast<float>(end - begin));
  }
  const float* weights = shares.empty() ? bags.weights.data : shares.data();
  const std::vector<Reading> readings = sorted_readings(row_ids.data(), bags.ids.size, rows);
  Sums sums = sums_of(readings);
  for (const Reading r : readings) {
    sums.sources.push_back(bag_of[place_of(r)]);
    if (weights) sums.weights.push_back(weights[place_of(r)]);
  }
  return add_up(dout, readings, sums);
}

}  // namespace lowbit::ops
