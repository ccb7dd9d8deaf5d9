// The words that the threads of one batch have learned, for each other.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>

#include "core/memory.hpp"
#include "tokenizers/word_key.hpp"

namespace lowbit::tokenizers {

// A slot is claimed, filled, published and never changed again, so that no thread waits for
// another. A word that finds no room is not shared. At most 2 MB and a pool of 1 MB, from the first
// word on: a batch of words that all threads know has none.
class SharedWords {
 public:
  // For texts of so many bytes.
  explicit SharedWords(size_t bytes) : bytes_(bytes) {}

  // The ids of a word that any thread has published. The key is {hash, WordKey::kLong} for a long
  // word, which is compared itself.
  std::optional<std::span<const int32_t>> find(const WordKey& key, std::string_view word) const;
  void publish(const WordKey& key, std::string_view word, std::span<const int32_t> ids);

 private:
  static constexpr size_t kMinLines = size_t{1} << 8;
  static constexpr size_t kMaxLines = size_t{1} << 15;
  static constexpr size_t kBytesPerLine = 32;  // of text, where most words are new
  static constexpr size_t kPool = size_t{1} << 18;

  static constexpr size_t kMaxIds = 4;
  static constexpr int kCountShift = 60;
  static constexpr uint64_t kClaimed = 2;  // as `high`, which no word has
  static constexpr uint64_t kPooled = 15;  // as count: ids has a place in the pool and two sizes

  // The number of ids is in the upper half of the byte that has the length.
  struct Slot {
    std::atomic<uint64_t> high{0};  // 0: free. The rest may be read when this is the word's.
    uint64_t low = 0;
    int32_t ids[kMaxIds] = {};
  };
  struct alignas(64) Line {
    Slot slots[2];
  };

  Line& line_of(const WordKey& key) const { return lines_[key.hash() >> shift_]; }
  void make();
  bool pool(Slot& slot, const WordKey& key, std::string_view word, std::span<const int32_t> ids);

  const size_t bytes_;
  std::once_flag once_;
  std::atomic<bool> made_{false};
  int shift_ = 0;
  Memory<Line> lines_;
  Memory<int32_t> pool_;  // the ids of a word and, if it is long, its bytes
  alignas(64) std::atomic<size_t> pooled_{0};  // apart from what every look reads
};

}  // namespace lowbit::tokenizers
