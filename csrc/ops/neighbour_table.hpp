// A table of vectors, with what a search for the nearest needs to know of each.
#pragma once

#include <string>
#include <vector>

#include "core/views.hpp"
#include "ops/packed_matrix.hpp"

namespace lowbit::ops {

enum class Metric { dot, cosine, euclidean };

// Norms in which products neither overflow nor vanish in float32, so that bounds of their errors
// hold: where a query's or the largest of the table is beyond, every row is scored exactly.
constexpr double kLeastNorm = 0x1p-50, kMostNorm = 0x1p50;

// Vectors with more columns would need wider bounds.
constexpr int64_t kMostColumns = int64_t{1} << 20;

// `sizes` are what errors of products grow with: the norms of rows, or of rounded rows in int8,
// where `radii` are how far these are from the rows (from rows of length 1 where the metric is the
// cosine). `offsets` are half the squared norms, below zero, where distances are asked for. All
// are rounded up, and have room for a multiple of 16 rows.
struct NeighbourTable {
  MatrixView<const float> rows;  // the owner keeps them
  Metric metric = Metric::cosine;
  bool int8 = false;
  double largest = 0;         // norm
  std::vector<double> norms;  // for the cosine
  std::vector<float> sizes, radii, offsets;
  PackedMatrix packed;  // int8: one scale a row

  // ArgumentError when a name is not known or a value is not finite.
  NeighbourTable(MatrixView<const float> table, const std::string& metric_name,
                 const std::string& format);

  int64_t nbytes() const;  // without the rows themselves
  // Rows [begin, end) as the right operand of a product; `begin` is a multiple of 16.
  WeightView weight(int64_t begin, int64_t end) const;

 private:
  void measure_rows(int64_t begin, int64_t end);
  void round_rows(int64_t begin, int64_t end);
};

constexpr const char* kFiniteOnly = "only finite values have neighbours";

// The next float that is not below, and not above.
float rounded_up(double value);
float rounded_down(double value);

// The Euclidean norm, in double.
double norm_of(const float* values, int64_t count);

}  // namespace lowbit::ops
