// Words that follow each other without gaps, on their way into a vector.
#pragma once

#include <vector>

#include "ops/dispatch.hpp"
#include "tokenizers/pattern.hpp"

namespace lowbit::tokenizers {

// Holds `capacity` words; the owner flushes it before more follow.
template <size_t capacity>
class WordBuffer {
 public:
  explicit WordBuffer(std::vector<Span>& words) : words_(words) { borders_[0] = 0; }

  // Where the word starts whose end is not known yet.
  size_t open() const { return borders_[count_]; }

  void end_at(size_t end) { borders_[++count_] = static_cast<uint32_t>(end); }

  // The open word and others end at the set bits, bit 0 being `begin`.
  void end_at_bits(uint64_t bits, size_t begin) {
    int64_t found;
    list_bits_({&bits, 1, static_cast<uint32_t>(begin), borders_ + count_ + 1, &found});
    count_ += static_cast<size_t>(found);
  }

  // The end of a word is the beginning of the next one.
  void flush() {
    const size_t size = words_.size();
    words_.resize(size + count_);
    Span* const words = words_.data() + size;
    for (size_t i = 0; i < count_; ++i) words[i] = {borders_[i], borders_[i + 1]};
    borders_[0] = borders_[count_];
    count_ = 0;
  }

 private:
  std::vector<Span>& words_;
  const decltype(ops::kernels().list_bits) list_bits_ = ops::kernels().list_bits;
  size_t count_ = 0;
  uint32_t borders_[1 + capacity + kMorePlaces];  // the beginning of a word and the ends of all
};

}  // namespace lowbit::tokenizers
