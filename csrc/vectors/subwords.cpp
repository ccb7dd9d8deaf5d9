#include "vectors/subwords.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace lowbit::vectors {
namespace {

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

// The hash is FNV-1a, of bytes with their sign: what fastText computes, and files depend on it.
void add_ngrams(std::string_view word, const SubwordOptions& options,
                std::vector<int32_t>& buckets) {
  if (word == "</s>") return;  // the end of a line, as fastText has it
  const std::string marked = "<" + std::string(word) + ">";
  const size_t size = marked.size();
  for (size_t i = 0; i < size; ++i) {
    if (continues(marked[i])) continue;
    uint32_t hash = 2166136261u;
    size_t j = i;
    for (int64_t n = 1; j < size && n <= options.longest; ++n) {
      do {
        hash = (hash ^ static_cast<uint32_t>(static_cast<int8_t>(marked[j++]))) * 16777619u;
      } while (j < size && continues(marked[j]));
      const bool edge = n == 1 && (i == 0 || j == size);
      if (n >= options.shortest && !edge)
        buckets.push_back(static_cast<int32_t>(hash % static_cast<uint32_t>(options.buckets)));
    }
  }
}

Subwords::Subwords(const std::vector<std::string>& words, const SubwordOptions& options) {
  check(options.shortest >= 1 && options.shortest <= options.longest && options.longest <= 100,
        "WordVectors.train: ngrams=(", options.shortest, ", ", options.longest,
        ") must be lengths from 1 to 100, the shorter first");
  check(options.buckets >= 1 && options.buckets <= INT32_MAX, "WordVectors.train: buckets=",
        options.buckets, " must be between 1 and ", INT32_MAX);
  begin_.push_back(0);
  for (size_t w = 0; w < words.size(); ++w) {
    rows_.push_back(static_cast<int32_t>(w));
    add_ngrams(words[w], options, rows_);
    longest_ = std::max(longest_, static_cast<int64_t>(rows_.size()) - begin_.back());
    begin_.push_back(static_cast<int64_t>(rows_.size()));
  }
  const auto for_ngrams = [&](auto&& use) {
    for (size_t w = 0; w < words.size(); ++w)
      for (int64_t i = begin_[w] + 1; i < begin_[w + 1]; ++i) use(rows_[static_cast<size_t>(i)]);
  };
  for_ngrams([&](int32_t bucket) { buckets_.push_back(bucket); });
  std::sort(buckets_.begin(), buckets_.end());
  buckets_.erase(std::unique(buckets_.begin(), buckets_.end()), buckets_.end());
  check(words.size() + buckets_.size() <= INT32_MAX, "WordVectors.train: more than ", INT32_MAX,
        " rows");
  for_ngrams([&](int32_t& bucket) {
    const auto place = std::lower_bound(buckets_.begin(), buckets_.end(), bucket);
    bucket = static_cast<int32_t>(words.size()) +
             static_cast<int32_t>(place - buckets_.begin());
  });
}

}  // namespace lowbit::vectors
