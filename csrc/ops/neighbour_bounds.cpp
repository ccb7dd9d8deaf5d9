#include "ops/neighbour_bounds.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/threads.hpp"
#include "ops/check.hpp"

namespace lowbit::ops {
namespace {

// Half the distance from 1 to the next float: what one rounding is off by.
constexpr double kRounding = 0x1p-24;

// What the additions of a bound, and all that is done in double, are off by, in units of the norms'
// product.
constexpr double kBoundError = 16 * kRounding;

bool bounds_hold(double norm) { return norm >= kLeastNorm && norm <= kMostNorm; }

// Scores are floats.
void check_scores(const NeighbourTable& table, double norm, int64_t query) {
  const double most = table.metric == Metric::dot         ? norm * table.largest
                      : table.metric == Metric::euclidean ? norm + table.largest
                                                          : 0;
  check(most < 0x1p127, kSearchName, ": scores of query ", query, ", whose norm is ", norm,
        ", with rows of norms up to ", table.largest, " may exceed float32; scale them down");
}

// A query in 8 bits, as the largest value over 127 times integers. pack_int8 finds the same
// integers again. Returns how far it is from the query.
double round_query(const float* query, int64_t count, float* rounded) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(query[i]));
  const float scale = largest / 127;
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float code = scale > 0 ? std::nearbyint(query[i] / scale) : 0;
    rounded[i] = std::clamp(code, -127.0f, 127.0f) * scale;
    const double apart = static_cast<double>(query[i]) - rounded[i];
    squares += apart * apart;
  }
  return std::sqrt(squares) * (1 + 0x1p-40);
}

}  // namespace

QueryBounds::QueryBounds(const NeighbourTable& table, MatrixView<const float> queries,
                         Compute compute)
    : table_(table), queries_(queries), multiplied_(queries), compute_(compute) {
  of_.resize(static_cast<size_t>(queries.rows));
  if (compute == Compute::int8) {
    rounded_ = take<float>(queries.rows * queries.cols);
    multiplied_ = {rounded_.get(), queries.rows, queries.cols};
  }
  parallel_for(queries.rows, row_grain(queries.cols), [&](int64_t begin, int64_t end) {
    for (int64_t query = begin; query < end; ++query) measure(query);
  });
}

// The most that a product of vectors is off by because of how it is computed, in units of the
// product of their norms.
double QueryBounds::product_error() const {
  const double columns = static_cast<double>(queries_.cols);
  // Sums of 1024 columns are exact.
  if (compute_ == Compute::int8) return (columns / kMostInt8Block + 8) * kRounding;
  const double sum = (columns + 8) * kRounding;
  return sum / (1 - sum);
}

void QueryBounds::measure(int64_t query) {
  const float* values = queries_.row(query);
  const double norm = norm_of(values, queries_.cols);
  if (!std::isfinite(norm))
    check_finite_row(kSearchName, "queries", queries_, query, kFiniteOnly);
  check_scores(table_, norm, query);
  Query& of = of_[query];
  of.norm = norm;
  of.exact = !bounds_hold(norm) || !bounds_hold(table_.largest);
  of.error = (product_error() + kBoundError) * norm;
  const double columns = static_cast<double>(queries_.cols);
  of.slack = columns * 0x1p-126;
  if (rounded_)
    of.error += round_query(values, queries_.cols, rounded_.get() + query * queries_.cols);
}

ProductBound QueryBounds::bound(int64_t query, const Best* worst) const {
  const Query& of = of_[query];
  ProductBound bound{rounded_up(of.norm * (1 + kBoundError)), rounded_up(of.error),
                     -std::numeric_limits<float>::infinity()};
  if (!worst || of.exact) return bound;
  const double score = worst->score;
  double least = 0;
  switch (table_.metric) {
    case Metric::dot: least = score; break;
    case Metric::cosine:
      if (compute_ == Compute::int8) {
        least = score * of.norm;
      } else {  // q . x - score |q| |x| must reach zero
        const double error = of.error + std::fabs(score) * of.norm * kBoundError;
        bound.of_size = rounded_up(error - score * of.norm);
      }
      break;
    case Metric::euclidean: {  // |q - x|^2 = |q|^2 - 2 (q . x - |x|^2 / 2)
      const double squares = of.norm * of.norm + score * score;
      least = (of.norm * of.norm - score * score) / 2;
      least -= squares * static_cast<double>(queries_.cols + 8) * 0x1p-50;
      break;
    }
  }
  bound.least = rounded_down(least - of.slack - std::fabs(least) * 0x1p-40);
  return bound;
}

float QueryBounds::score(int64_t query, int64_t row, double computed) const {
  if (table_.metric == Metric::dot) return static_cast<float>(computed);
  if (table_.metric == Metric::euclidean) return -static_cast<float>(std::sqrt(computed));
  const double norms = of_[query].norm * table_.norms[row];
  return norms > 0 ? static_cast<float>(computed / norms) : 0.0f;
}

}  // namespace lowbit::ops
