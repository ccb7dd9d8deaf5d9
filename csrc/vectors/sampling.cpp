#include "vectors/sampling.hpp"

#include <algorithm>
#include <cmath>

namespace lowbit::vectors {

constexpr double kWords = 4294967296.0;

AliasTable::AliasTable(const std::vector<double>& weights) : columns_(weights.size()) {
  double total = 0;
  for (const double weight : weights) total += weight;
  const size_t count = weights.size();
  std::vector<double> height(count);
  std::vector<int32_t> low, high;
  for (size_t i = 0; i < count; ++i) {
    height[i] = weights[i] / total * static_cast<double>(count);
    (height[i] < 1 ? low : high).push_back(static_cast<int32_t>(i));
  }
  const auto set = [&](int32_t i, double share, int32_t other) {
    const double threshold = std::min(share * kWords, kWords - 1);
    columns_[static_cast<size_t>(i)] = {static_cast<uint32_t>(threshold), other};
  };
  while (!low.empty() && !high.empty()) {
    const int32_t i = low.back(), from = high.back();
    low.pop_back();
    double& left = height[static_cast<size_t>(from)];
    set(i, height[static_cast<size_t>(i)], from);
    left -= 1 - height[static_cast<size_t>(i)];
    if (left < 1) {
      high.pop_back();
      low.push_back(from);
    }
  }
  for (const int32_t i : low) set(i, 1, i);
  for (const int32_t i : high) set(i, 1, i);
}

std::vector<uint64_t> keep_thresholds(const std::vector<int64_t>& counts, double sample) {
  double total = 0;
  for (const int64_t count : counts) total += static_cast<double>(count);
  std::vector<uint64_t> thresholds;
  for (const int64_t count : counts) {
    const double f = static_cast<double>(count) / (sample * total);
    const double share = sample > 0 ? std::min(1.0, 1 / std::sqrt(f) + 1 / f) : 1.0;
    thresholds.push_back(static_cast<uint64_t>(share * kWords));
  }
  return thresholds;
}

}  // namespace lowbit::vectors
