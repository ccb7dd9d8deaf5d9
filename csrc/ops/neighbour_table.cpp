#include "ops/neighbour_table.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

constexpr const char* kTableName = "NearestNeighbours";

// Rows that are rounded at a time.
constexpr int64_t kRoundedRows = 64;

// Covers the roundings of a bound that is computed in double.
constexpr double kUpward = 1 + 0x1p-40;

Metric metric_named(const std::string& name) {
  if (name == "dot") return Metric::dot;
  if (name == "cosine") return Metric::cosine;
  check(name == "euclidean", kTableName, ": metric=\"", name,
        "\" is not known; use \"cosine\", \"dot\" or \"euclidean\"");
  return Metric::euclidean;
}

}  // namespace

float rounded_up(double value) {
  const float near = static_cast<float>(value);
  return near < value ? std::nextafter(near, std::numeric_limits<float>::infinity()) : near;
}
float rounded_down(double value) { return -rounded_up(-value); }

double norm_of(const float* values, int64_t count) {
  const int32_t first = 0;
  double squares = 0;
  kernels().score_rows({values, {values, 1, count}, &first, 1, false, &squares});
  return std::sqrt(squares);
}

NeighbourTable::NeighbourTable(MatrixView<const float> table, const std::string& metric_name,
                               const std::string& format)
    : rows(table), metric(metric_named(metric_name)), int8(format == "int8") {
  check(int8 || format == "fp32", kTableName, ": format=\"", format,
        "\" is not known; use \"fp32\" or \"int8\"");
  check(table.cols >= 1 && table.cols <= kMostColumns, kTableName, ": table has ", table.cols,
        " columns; pass 1 to ", kMostColumns);
  check(table.rows < std::numeric_limits<int32_t>::max(), kTableName, ": table has ", table.rows,
        " rows; pass fewer than ", std::numeric_limits<int32_t>::max());
  Trace trace(kTableName, metric_name, format, table.rows, "x", table.cols);
  const auto room = static_cast<size_t>(round_up(table.rows, kBlockRows));
  if (!int8) sizes.assign(room, 0.0f);
  if (metric == Metric::euclidean) offsets.assign(room, 0.0f);
  norms.assign(static_cast<size_t>(table.rows), 0.0);
  const int64_t grain = round_up(row_grain(table.cols), kBlockRows);
  parallel_for(table.rows, grain, [&](int64_t begin, int64_t end) { measure_rows(begin, end); });
  for (const double norm : norms) largest = std::max(largest, norm);
  rounded_sizes.assign(room, 0.0f);
  radii.assign(room, 0.0f);
  scales_.assign(room, 0.0f);
  if (int8)
    lines_ = take<uint8_t>(ceil_div(table.rows, kBlockRows) * block_bytes());
  else
    factors_.assign(room, 0.0f);
  parallel_for(ceil_div(table.rows, kRoundedRows), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      measure_rounded(i * kRoundedRows, std::min((i + 1) * kRoundedRows, table.rows));
  });
  if (metric != Metric::cosine) norms = {};
}

// Norms, and what follows from them.
void NeighbourTable::measure_rows(int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const double norm = norm_of(rows.row(row), rows.cols);
    if (!std::isfinite(norm))
      check_finite_row(kTableName, "table", rows, row, kFiniteOnly);
    norms[row] = norm;
    if (!int8) sizes[row] = rounded_up(norm * kUpward);
    // Less by what adding it to a product may round away.
    if (!offsets.empty()) offsets[row] = rounded_up(-norm * norm / 2 * (1 - 0x1p-21));
  }
}

// Scales, and how far rounded rows are from the rows.
void NeighbourTable::measure_rounded(int64_t begin, int64_t end) {
  const int64_t columns = rows.cols, count = end - begin;
  const Memory<uint8_t> room = take<uint8_t>(room_for(count));
  float own[kRoundedRows];
  float* factors = int8 ? own : factors_.data() + begin;
  uint8_t* lines = int8 ? lines_.get() + begin / kBlockRows * block_bytes() : room.get();
  kernels().round_rows({stretch(begin, end), nullptr, factors, lines});
  for (int64_t r = 0; r < count; ++r) {
    float& scale = scales_[begin + r];
    scale = factors[r] > 0 ? 1 / factors[r] : 0.0f;
    // Rows whose norm has no inverse are rounded to zero.
    const double norm = norms[begin + r];
    if (metric == Metric::cosine) scale *= norm > 0x1p-120 ? static_cast<float>(1 / norm) : 0.0f;
  }
  const Memory<float> memory = take<float>(count * columns);
  const MatrixView<float> values(memory.get(), count, columns);
  const WeightView codes = rounded(begin, end, room.get());
  kernels().dequantize({codes, values, 0, ceil_div(count, kBlockRows), false});
  for (int64_t r = 0; r < count; ++r) {
    const double norm = norms[begin + r], by = metric == Metric::cosine && norm > 0 ? norm : 1;
    double squares = 0;
    for (int64_t c = 0; c < columns; ++c) {
      const double apart = rows.row(begin + r)[c] / by - values.row(r)[c];
      squares += apart * apart;
    }
    // A value of the product is a code times a scale; the float it was read as is off by 2^-24.
    const double size = norm_of(values.row(r), columns) * (1 + 0x1p-23);
    rounded_sizes[begin + r] = rounded_up(size);
    radii[begin + r] = rounded_up((std::sqrt(squares) * kUpward + size * 0x1p-23) * (1 + 0x1p-20));
  }
}

WeightView NeighbourTable::exact(int64_t begin, int64_t end) const {
  return dense_weight(rows.row(begin), end - begin, rows.cols, rows.stride);
}

WeightView NeighbourTable::rounded(int64_t begin, int64_t end, uint8_t* room) const {
  if (!int8)
    kernels().round_rows({stretch(begin, end), factors_.data() + begin, nullptr, room});
  WeightView w;
  w.format = Format::int8;
  w.rows = end - begin, w.cols = rows.cols;
  w.group_size = rows.cols, w.groups = 1, w.scale_stride = kBlockRows;
  w.data = int8 ? lines_.get() + begin / kBlockRows * block_bytes() : room;
  w.scales = reinterpret_cast<const uint8_t*>(scales_.data() + begin);
  return w;
}

int64_t NeighbourTable::nbytes() const {
  const int64_t floats = std::ssize(sizes) + std::ssize(rounded_sizes) + std::ssize(radii) +
                         std::ssize(offsets) + std::ssize(scales_) + std::ssize(factors_);
  return int64_t{sizeof(double)} * std::ssize(norms) + int64_t{sizeof(float)} * floats +
         (int8 ? ceil_div(rows.rows, kBlockRows) * block_bytes() : 0);
}

}  // namespace lowbit::ops
