// Ids in memory that grows and can be given away.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "core/memory.hpp"

namespace lowbit::tokenizers {

// What it grows by is not zeroed first.
class IdBuffer {
 public:
  size_t size() const { return size_; }
  void clear() { size_ = 0; }
  void shrink(size_t size) { size_ = size; }
  std::span<const int32_t> ids() const { return {data_.get(), size_}; }
  // Gives the memory away and is empty then.
  Memory<int32_t> release() {
    size_ = capacity_ = 0;
    return std::move(data_);
  }

  // Where the next `count` ids may be written; advance() then says how many were.
  int32_t* room(size_t count) {
    if (size_ + count > capacity_) [[unlikely]] grow(size_ + count);
    return data_.get() + size_;
  }
  void advance(size_t count) { size_ += count; }
  void append(const int32_t* ids, size_t count) {
    if (count == 0) return;
    std::memcpy(room(count), ids, count * sizeof(int32_t));
    size_ += count;
  }

 private:
  void grow(size_t needed) {
    const size_t capacity = std::max({needed, 2 * capacity_, size_t{1024}});
    Memory<int32_t> data = take<int32_t>(static_cast<int64_t>(capacity));
    if (size_ > 0) std::memcpy(data.get(), data_.get(), size_ * sizeof(int32_t));
    data_ = std::move(data);
    capacity_ = capacity;
  }

  Memory<int32_t> data_;
  size_t size_ = 0, capacity_ = 0;
};

}  // namespace lowbit::tokenizers
