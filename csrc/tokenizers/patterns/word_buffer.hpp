// Words that follow each other without gaps, on their way into a vector.
#pragma once

#include <bit>
#include <vector>

#include "tokenizers/pattern.hpp"

namespace lowbit::tokenizers {

// Holds `capacity` words; the owner flushes it before more follow.
template <size_t capacity>
class WordBuffer {
 public:
  explicit WordBuffer(std::vector<Span>& words) : words_(words) { spans_[0].begin = 0; }

  // Where the word starts whose end is not known yet.
  size_t open() const { return spans_[count_].begin; }

  void end_at(size_t end) { store(count_++, end); }

  // The open word and others end at the set bits, bit 0 being `begin`. Ends are stored eight at a
  // time, those too many to be overwritten, because how many there are is hard to predict.
  void end_at_bits(uint64_t bits, size_t begin) {
    const size_t found = static_cast<size_t>(std::popcount(bits));
    for (size_t i = count_; i < count_ + found; i += 8) {
      for (size_t j = 0; j < 8; ++j, bits &= bits - 1)
        store(i + j, begin + static_cast<size_t>(std::countr_zero(bits)));
    }
    count_ += found;
  }

  void flush() {
    words_.insert(words_.end(), spans_, spans_ + count_);
    spans_[0] = spans_[count_];
    count_ = 0;
  }

 private:
  // The end of a word is the beginning of the next one.
  void store(size_t word, size_t end) {
    spans_[word].end = spans_[word + 1].begin = static_cast<uint32_t>(end);
  }

  std::vector<Span>& words_;
  size_t count_ = 0;
  Span spans_[capacity + 9];
};

}  // namespace lowbit::tokenizers
