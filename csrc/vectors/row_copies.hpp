// Copies of the rows of a table that a stretch of work needs.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "core/memory.hpp"
#include "core/views.hpp"
#include "kernels/vector_args.hpp"
#include "vectors/change_weight.hpp"

namespace lowbit::vectors {

class RowCopies {
 public:
  explicit RowCopies(int64_t shards) : share_(1.0f / static_cast<float>(shards)) {}

  // Forgets the copies, then takes one of every row named in `ids`, whose numbers become those of
  // the copies. `places` is -1 for every row of the table, before and afterwards. Changes of rows
  // that are named more than `often` times count less.
  void take_rows(MatrixView<float> table, std::span<int32_t> ids, std::vector<int32_t>& places,
                 float often) {
    rows_.resize(ids.size()), weights_.resize(ids.size());
    int32_t taken = 0;
    for (int32_t& id : ids) {
      int32_t& place = places[static_cast<size_t>(id)];
      if (place < 0) {
        place = taken++;
        rows_[static_cast<size_t>(place)] = id;
        weights_[static_cast<size_t>(place)] = 0;
        const float* row = table.row(id);
        for (int64_t c = 0; c < table.stride; c += 16) __builtin_prefetch(row + c, 0, 2);
      }
      weights_[static_cast<size_t>(place)] += 1;
      id = place;
    }
    rows_.resize(static_cast<size_t>(taken)), weights_.resize(static_cast<size_t>(taken));
    for (const int32_t row : rows_) places[static_cast<size_t>(row)] = -1;
    for (float& weight : weights_) weight = change_weight(weight, often, share_);
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

  PairRows pair_rows() const { return {copies_.data, copies_.stride, nullptr, 0, 0}; }
  MatrixView<float> copies() const { return copies_; }
  const int32_t* rows() const { return rows_.data(); }  // of the table
  const float* weights() const { return weights_.data(); }

 private:
  static constexpr int64_t kAhead = 10;  // rows that are fetched

  std::vector<int32_t> rows_;  // of the table, in the order of the copies
  std::vector<float> weights_;  // of their changes
  float share_;
  Memory<float> memory_;
  int64_t capacity_ = 0;
  MatrixView<float> copies_;
};

}  // namespace lowbit::vectors
