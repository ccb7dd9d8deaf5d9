// A table of vectors, with what a search for the nearest needs to know of each.
#pragma once

#include <string>
#include <vector>

#include "core/memory.hpp"
#include "core/views.hpp"
#include "formats/weight.hpp"

namespace lowbit::ops {

struct RoundedRows;

enum class Metric { dot, cosine, euclidean };

// Norms in which products neither overflow nor vanish in float32, so that bounds of their errors
// hold: where a query's or the largest of the table is beyond, every row is scored exactly.
constexpr double kLeastNorm = 0x1p-50, kMostNorm = 0x1p50;

// Vectors with more columns would need wider bounds.
constexpr int64_t kMostColumns = int64_t{1} << 20;

// Rows rounded to int8 have a scale each; where the metric is the cosine it is divided by the row's
// norm, so that they stand for rows of length 1. In "fp32" they are rounded when they are
// multiplied, and only what is known of them is kept: `rounded_sizes` are their norms, and `radii`
// how far they are from the rows. `sizes` are the norms of the rows, in "fp32", `offsets` half the
// squared norms, below zero, where distances are asked for. All of these are rounded up, and have
// room for a multiple of 16 rows.
struct NeighbourTable {
  MatrixView<const float> rows;  // the owner keeps them
  Metric metric = Metric::cosine;
  bool int8 = false;
  double largest = 0;         // norm
  std::vector<double> norms;  // for the cosine
  std::vector<float> sizes, rounded_sizes, radii, offsets;

  // ArgumentError when a name is not known or a value is not finite.
  NeighbourTable(MatrixView<const float> table, const std::string& metric_name,
                 const std::string& format);

  int64_t nbytes() const;  // without the rows themselves
  // Rows [begin, end) as the right operand of a product; `begin` is a multiple of 16. Those rounded
  // to int8 are written to `room` in "fp32".
  WeightView exact(int64_t begin, int64_t end) const;
  WeightView rounded(int64_t begin, int64_t end, RoundedRows& room) const;

 private:
  void measure_rows(int64_t begin, int64_t end);
  void measure_rounded(int64_t begin, int64_t end);
  void round_rows(int64_t begin, int64_t end, uint8_t* lines, float* scales) const;
  int64_t block_bytes() const { return ceil_div(rows.cols, 4) * 64; }  // of 16 rows in int8

  std::vector<float> inverses_;  // of the norms, for the cosine
  Memory<uint8_t> lines_;        // in "int8", as WeightView::data
  std::vector<float> scales_;

  friend struct RoundedRows;
};

// Room for rows that are rounded when they are multiplied; none is needed in "int8".
struct RoundedRows {
  RoundedRows(const NeighbourTable& table, int64_t rows);
  Memory<uint8_t> lines;
  std::vector<float> scales;
};

constexpr const char* kFiniteOnly = "only finite values have neighbours";

// The next float that is not below, and not above.
float rounded_up(double value);
float rounded_down(double value);

// The Euclidean norm, in double.
double norm_of(const float* values, int64_t count);

}  // namespace lowbit::ops
