// A table of vectors, with what a search for the nearest needs to know of each.
#pragma once

#include <string>
#include <vector>

#include "core/memory.hpp"
#include "core/views.hpp"
#include "formats/weight.hpp"

namespace lowbit::ops {

enum class Metric { dot, cosine, euclidean };

// Norms in which products neither overflow nor vanish in float32, so that bounds of their errors
// hold: where a query's or the largest of the table is beyond, every row is scored exactly.
constexpr double kLeastNorm = 0x1p-50, kMostNorm = 0x1p50;

// Vectors with more columns would need wider bounds.
constexpr int64_t kMostColumns = int64_t{1} << 20;

// Rows rounded to int8 have a scale each; where the metric is the cosine it is divided by the row's
// norm, so that they stand for rows of length 1. In "fp32" they are rounded when they are
// multiplied, by factors that are kept, so that each value is read once. `rounded_sizes` are their
// norms, and `radii` how far they are from the rows. `sizes` are the norms of the rows, in "fp32",
// `offsets` half the squared norms, below zero, where distances are asked for. All of these are
// rounded up, and have room for a multiple of 16 rows.
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
  // to int8 are written to `room` in "fp32", which has room_for(end - begin) bytes.
  WeightView exact(int64_t begin, int64_t end) const;
  WeightView rounded(int64_t begin, int64_t end, uint8_t* room) const;
  int64_t room_for(int64_t count) const {
    return int8 ? 0 : ceil_div(count, kBlockRows) * block_bytes();
  }

 private:
  MatrixView<const float> stretch(int64_t begin, int64_t end) const {
    return {rows.row(begin), end - begin, rows.cols, rows.stride};
  }
  void measure_rows(int64_t begin, int64_t end);
  void measure_rounded(int64_t begin, int64_t end);
  int64_t block_bytes() const { return ceil_div(rows.cols, 4) * 64; }  // of 16 rows in int8

  Memory<uint8_t> lines_;  // in "int8", as WeightView::data
  std::vector<float> scales_;
  std::vector<float> factors_;  // in "fp32", as RoundRowsArgs has them
};

constexpr const char* kFiniteOnly = "only finite values have neighbours";

// The next float that is not below, and not above.
float rounded_up(double value);
float rounded_down(double value);

// The Euclidean norm, in double.
double norm_of(const float* values, int64_t count);

}  // namespace lowbit::ops
