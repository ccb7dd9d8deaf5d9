// Strings one behind another: the tokens of a vocabulary by number, without an object for each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace lowbit::tokenizers {

class StringTable {
 public:
  StringTable() : begins_(1, 0) {}

  void reserve(size_t count, size_t bytes) {
    begins_.reserve(count + 1);
    bytes_.reserve(bytes);
  }
  void push_back(std::string_view text) {
    bytes_ += text;
    close();
  }
  // The string being made; `close` ends it and begins the next.
  std::string& open() { return bytes_; }
  void close() {
    check(bytes_.size() < UINT32_MAX && size() < UINT32_MAX, "tokenizer: the vocabulary has ",
          size(), " tokens of ", bytes_.size(), " bytes, at most 4 GB fit");
    begins_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  // Gives up what was written since the last `close`.
  void drop() { bytes_.resize(begins_.back()); }

  std::string_view operator[](size_t number) const {
    const uint32_t begin = begins_[number];
    return {bytes_.data() + begin, begins_[number + 1] - begin};
  }
  size_t size() const { return begins_.size() - 1; }
  const std::string& bytes() const { return bytes_; }
  const std::vector<uint32_t>& begins() const { return begins_; }  // one more than strings

 private:
  std::string bytes_;
  std::vector<uint32_t> begins_;
};

}  // namespace lowbit::tokenizers
