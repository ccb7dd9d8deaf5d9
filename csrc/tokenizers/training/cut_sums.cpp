#include "tokenizers/training/cut_sums.hpp"

#include <cmath>

namespace lowbit::tokenizers {

CutSums::CutSums(const std::vector<double>& scores, uint32_t longest_word)
    : path_(longest_word + 1) {
  pieces_.reserve(scores.size());
  for (const double score : scores) pieces_.push_back({std::exp(score), 0});
  path_[0].forward = 1;
}

// Words before this one may have left something there, with another exponent.
void CutSums::set_scaled(uint32_t depth, double sum, int64_t exponent) {
  if (sum < kSmall) {
    int shift = 0;
    sum = std::frexp(sum, &shift);
    exponent += shift;
  }
  if (exponent != 0) first_scaled_ = std::min(first_scaled_, depth);
  Node& node = path_[depth];
  node.backward *= power_of_two(exponent - node.exponent);
  node = {sum, node.backward, exponent};
}

}  // namespace lowbit::tokenizers
