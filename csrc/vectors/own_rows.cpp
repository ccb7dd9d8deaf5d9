#include "vectors/own_rows.hpp"

#include <algorithm>

#include "ops/dispatch.hpp"
#include "vectors/change_weight.hpp"

namespace lowbit::vectors {

OwnRows::OwnRows(MatrixView<float> table, int64_t count, bool rising)
    : table_(table),
      rising_(rising),
      count_(std::min(count, table.rows)),
      first_(rising ? table.rows - count_ : 0),
      own_(take<float>(count_ * table.stride)),
      was_(take<float>(count_ * table.stride)),
      noted_(static_cast<size_t>(count_)) {
  const int64_t floats = count_ * table_.stride;
  std::copy_n(table_.row(first_), floats, own_.get());
  std::copy_n(own_.get(), floats, was_.get());
}

void OwnRows::note(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    const auto at = static_cast<uint64_t>(id - first_);
    if (at < static_cast<uint64_t>(count_)) noted_[at] += 1;
  }
}

void OwnRows::exchange(int64_t count, float often, float share) {
  count = std::min(count, count_);
  const int64_t begin = rising_ ? count_ - count : 0, floats = begin * table_.stride;
  float* const weights = noted_.data() + begin;
  for (int64_t i = 0; i < count; ++i) weights[i] = change_weight(weights[i], often, share);
  ops::kernels().exchange_rows({{table_.row(first_ + begin), count, table_.cols, table_.stride},
                                own_.get() + floats, was_.get() + floats, weights});
  std::fill_n(weights, count, 0.0f);
}

}  // namespace lowbit::vectors
