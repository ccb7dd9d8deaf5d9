// How a product that is not exact bounds a score.
#pragma once

#include <vector>

#include "core/memory.hpp"
#include "kernels/neighbour_args.hpp"
#include "ops/matmul.hpp"
#include "ops/neighbour_table.hpp"

namespace lowbit::ops {

constexpr const char* kSearchName = "NearestNeighbours.search";

// A score, or a distance below zero: more is better, and of equals the lower row.
struct Best {
  float score;
  int64_t row;
};
inline bool better(const Best& a, const Best& b) {
  return a.score > b.score || (a.score == b.score && a.row < b.row);
}

class QueryBounds {
 public:
  QueryBounds(const NeighbourTable& table, MatrixView<const float> queries, Compute compute);

  // What is multiplied with the table: queries, or queries rounded to 8 bits.
  MatrixView<const float> multiplied() const { return multiplied_; }
  double norm(int64_t query) const { return of_[query].norm; }
  // Leaves out rows that are worse than `worst`; all stay without one.
  ProductBound bound(int64_t query, const Best* worst) const;
  float score(int64_t query, int64_t row, double computed) const;

 private:
  struct Query {
    double norm;
    double error;  // of the product with a row, for each unit of the row's size
    double slack;  // whatever the row
    bool exact;    // no bound holds
  };
  void measure(int64_t query);
  double product_error() const;

  const NeighbourTable& table_;
  MatrixView<const float> queries_, multiplied_;
  Compute compute_;
  std::vector<Query> of_;
  Memory<float> rounded_;
};

}  // namespace lowbit::ops
