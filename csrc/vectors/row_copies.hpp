// Copies of the rows of a table that a stretch of work needs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "core/memory.hpp"
#include "core/views.hpp"

namespace lowbit::vectors {

class RowCopies {
 public:
  explicit RowCopies(int64_t shards) : share_(1.0f / static_cast<float>(shards)) {}

  // Forgets the copies, then takes one of every row named in `ids`, whose numbers become those of
  // the copies. `places` is -1 for every row of the table, before and afterwards. Changes of rows
  // that are named more than `often` times count less.
  void take_rows(MatrixView<float> table, std::span<int32_t> ids, std::vector<int32_t>& places,
                 float often) {
    rows_.clear(), weights_.clear();
    for (int32_t& id : ids) {
      int32_t& place = places[static_cast<size_t>(id)];
      if (place < 0) {
        place = static_cast<int32_t>(rows_.size());
        rows_.push_back(id);
        weights_.push_back(0);
      }
      weights_[static_cast<size_t>(place)] += 1;
      id = place;
    }
    for (const int32_t row : rows_) places[static_cast<size_t>(row)] = -1;
    for (float& weight : weights_) weight = weight_of(weight, often);
    const auto count = static_cast<int64_t>(rows_.size());
    if (count > capacity_) {
      capacity_ = count + count / 4;
      memory_.reset();
      memory_ = take<float>(capacity_ * table.stride);
    }
    copies_ = {memory_.get(), count, table.cols, table.stride};
    for (int64_t i = 0; i < count; ++i) {
      if (i + kAhead < count) {
        const float* next = table.row(rows_[static_cast<size_t>(i + kAhead)]);
        for (int64_t c = 0; c < table.stride; c += 16) __builtin_prefetch(next + c);
      }
      std::memcpy(copies_.row(i), table.row(rows_[static_cast<size_t>(i)]),
                  static_cast<size_t>(table.stride) * sizeof(float));
    }
  }

  MatrixView<float> copies() const { return copies_; }
  const int32_t* rows() const { return rows_.data(); }  // of the table
  const float* weights() const { return weights_.data(); }

 private:
  static constexpr int64_t kAhead = 4;  // rows that are fetched

  // Of the change to a row that was named so many times. All shards change frequent rows in much
  // the same way, from the same beginning: the sum of their changes would go too far, and would
  // diverge, where their mean does not.
  float weight_of(float times, float often) const {
    return std::max(share_, std::min(1.0f, often / times));
  }

  std::vector<int32_t> rows_;  // of the table, in the order of the copies
  std::vector<float> weights_;  // of their changes
  float share_;
  Memory<float> memory_;
  int64_t capacity_ = 0;
  MatrixView<float> copies_;
};

}  // namespace lowbit::vectors
