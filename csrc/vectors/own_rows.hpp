// A thread's own copies of the most frequent rows of a table.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/memory.hpp"
#include "core/views.hpp"
#include "kernels/vector_args.hpp"

namespace lowbit::vectors {

// A line of the cache that another core wrote last takes several times as long to read as one's
// own, and cores that share no cache several times as long again. So threads that change the same
// rows all the time work on copies of their own, and exchange what they changed now and then.
class OwnRows {
 public:
  // Of `count` rows from the first on, which fall in frequency, or, when they rise, of the last.
  OwnRows(MatrixView<float> table, int64_t count, bool rising);

  PairRows rows() const {
    return {table_.data, table_.stride, own_.get(), static_cast<int32_t>(first_),
            static_cast<int32_t>(count_)};
  }
  int64_t count() const { return count_; }
  // Notes that training names these rows of the table.
  void note(std::span<const int32_t> ids);
  // Adds to the table what changed in the `count` most frequent rows, and copies them anew. Changes
  // of rows that were noted more than `often` times since count less, by `share` at least.
  void exchange(int64_t count, float often, float share);

 private:
  MatrixView<float> table_;
  bool rising_;
  int64_t count_, first_;
  Memory<float> own_, was_;  // as it is now, and when it was copied
  std::vector<float> noted_;
};

}  // namespace lowbit::vectors
