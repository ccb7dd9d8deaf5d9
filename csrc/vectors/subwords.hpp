// Character n-grams of words, as fastText has them (Bojanowski et al., 2017).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowbit::vectors {

struct SubwordOptions {
  int64_t shortest = 3, longest = 6;  // characters of an n-gram; the word stands between < and >
  int64_t buckets = 2000000;          // n-grams of one hash share a row
};

// The bucket of every n-gram, in the order of their beginnings, then lengths. A character is a byte
// and the bytes 10xxxxxx behind it, which need not be UTF-8.
void add_ngrams(std::string_view word, const SubwordOptions& options,
                std::vector<int32_t>& buckets);

// The rows of each word: its own, then those of its n-grams, which follow the rows of the words.
// Only buckets that a word has get a row.
class Subwords {
 public:
  Subwords() = default;
  Subwords(const std::vector<std::string>& words, const SubwordOptions& options);

  std::span<const int32_t> rows(int32_t word) const {
    const auto at = static_cast<size_t>(word);
    return {rows_.data() + begin_[at], rows_.data() + begin_[at + 1]};
  }
  int64_t longest() const { return longest_; }  // rows of a word
  const std::vector<int32_t>& all_rows() const { return rows_; }
  const std::vector<int64_t>& begin() const { return begin_; }      // [words + 1]
  const std::vector<int32_t>& buckets() const { return buckets_; }  // of the rows, rising

 private:
  std::vector<int32_t> rows_, buckets_;
  std::vector<int64_t> begin_;
  int64_t longest_ = 0;
};

}  // namespace lowbit::vectors
