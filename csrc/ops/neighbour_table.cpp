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
  sizes.assign(room, 0.0f);
  if (metric == Metric::euclidean) offsets.assign(room, 0.0f);
  norms.assign(static_cast<size_t>(table.rows), 0.0);
  const int64_t grain = round_up(row_grain(table.cols), kBlockRows);
  parallel_for(table.rows, grain, [&](int64_t begin, int64_t end) { measure_rows(begin, end); });
  for (const double norm : norms) largest = std::max(largest, norm);
  if (int8) {
    Storage storage;
    storage.format = "int8";
    packed = allocate(kTableName, storage, table.rows, table.cols);
    radii.assign(room, 0.0f);
    parallel_for(ceil_div(table.rows, kRoundedRows), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        round_rows(i * kRoundedRows, std::min((i + 1) * kRoundedRows, table.rows));
    });
  }
  if (metric != Metric::cosine) norms = {};
}

// Norms, and what follows from them.
void NeighbourTable::measure_rows(int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const double norm = norm_of(rows.row(row), rows.cols);
    if (!std::isfinite(norm))
      check_finite_row(kTableName, "table", rows, row, kFiniteOnly);
    norms[row] = norm;
    sizes[row] = rounded_up(norm * kUpward);
    // Less by what adding it to a product may round away.
    if (!offsets.empty()) offsets[row] = rounded_up(-norm * norm / 2 * (1 - 0x1p-21));
  }
}

// Codes, and how far their values are from the rows. `begin` is a multiple of 16.
void NeighbourTable::round_rows(int64_t begin, int64_t end) {
  const int64_t columns = rows.cols, count = end - begin;
  const Memory<float> memory = take<float>(2 * kRoundedRows * columns);
  const MatrixView<float> source(memory.get(), count, columns);
  const MatrixView<float> rounded(memory.get() + kRoundedRows * columns, count, columns);
  const bool unit = metric == Metric::cosine;
  for (int64_t r = 0; r < count; ++r) {
    const double norm = norms[begin + r], by = unit && norm > 0 ? norm : 1;
    for (int64_t c = 0; c < columns; ++c)
      source.row(r)[c] = static_cast<float>(rows.row(begin + r)[c] / by);
  }
  const int64_t first = begin / kBlockRows, blocks = ceil_div(count, kBlockRows);
  bool flawed = false;  // values are finite: norms were
  kernels().quantize({source, packed.format, packed.group_size, packed.groups, packed.scale_type,
                      packed.lines.get() + first * (packed.line_bytes / packed.blocks()),
                      reinterpret_cast<float*>(packed.scales.data()) + begin, nullptr, false, 0,
                      blocks, scratch<float>(kQuantizeScratch), &flawed});
  kernels().dequantize({weight(begin, end), rounded, 0, blocks, false});
  for (int64_t r = 0; r < count; ++r) {
    const double norm = norms[begin + r], by = unit && norm > 0 ? norm : 1;
    double squares = 0;
    for (int64_t c = 0; c < columns; ++c) {
      const double apart = rows.row(begin + r)[c] / by - rounded.row(r)[c];
      squares += apart * apart;
    }
    // A value of the product is a code times a scale; the float it was read as is off by 2^-24.
    const double size = norm_of(rounded.row(r), columns) * (1 + 0x1p-23);
    sizes[begin + r] = rounded_up(size);
    radii[begin + r] = rounded_up((std::sqrt(squares) * kUpward + size * 0x1p-23) * (1 + 0x1p-20));
  }
}

WeightView NeighbourTable::weight(int64_t begin, int64_t end) const {
  if (!int8) return dense_weight(rows.row(begin), end - begin, rows.cols, rows.stride);
  WeightView w = packed.view();
  const int64_t block = begin / kBlockRows;
  w.data = w.lines(block, 4);
  w.scales += block * w.scale_stride * int64_t{sizeof(float)};
  w.rows = end - begin;
  return w;
}

int64_t NeighbourTable::nbytes() const {
  return int64_t{sizeof(double)} * std::ssize(norms) +
         int64_t{sizeof(float)} * (std::ssize(sizes) + std::ssize(radii) + std::ssize(offsets)) +
         (int8 ? packed.nbytes() : 0);
}

}  // namespace lowbit::ops
