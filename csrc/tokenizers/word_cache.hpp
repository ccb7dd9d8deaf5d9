// The tokens of words met before, and the loop that turns the words of a text into ids.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "core/memory.hpp"
#include "tokenizers/model.hpp"
#include "tokenizers/pattern.hpp"
#include "tokenizers/word_key.hpp"

namespace lowbit::tokenizers {

// Ids that grow without being zeroed first.
class IdBuffer {
 public:
  size_t size() const { return size_; }
  void clear() { size_ = 0; }
  std::span<const int32_t> ids() const { return {data_.get(), size_}; }

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
  void grow(size_t needed);

  Memory<int32_t> data_;
  size_t size_ = 0, capacity_ = 0;
};

// Of one model and one thread. Words of up to 15 bytes and 4 tokens take 32 bytes, two to a cache
// line; the others are kept apart. It starts small, so that short texts do not pay for it, and
// grows with the number of words to at most 4 MB and two pools of 4 MB.
class WordCache {
 public:
  WordCache();

  // Forgets all words, as before another model is used.
  void clear();

 private:
  template <bool counting>
  friend class WordLoop;

  static constexpr size_t kMaxIds = 4;
  static constexpr uint32_t kPooled = 15;  // as count: the first id is a place in the pool

  // The number of ids is in the upper half of the byte that has the length.
  struct alignas(32) Entry {
    uint64_t low = 0, high = 0;
    int32_t ids[kMaxIds] = {};

    // 0 when it is the word's; without branches, as both ways are common.
    uint64_t difference(const WordKey& key) const {
      return (low ^ key.low) | (high ^ key.high) << 4;
    }
    uint32_t count() const { return static_cast<uint32_t>(high >> 60); }
    WordKey key() const { return {low, high & ~(uint64_t{15} << 60)}; }
  };
  // The later word comes first.
  struct alignas(64) Line {
    Entry entries[2];
  };
  struct LongEntry {
    uint64_t hash = 0;
    uint32_t text = 0, length = 0;  // in texts_; of length 0: free
    uint32_t ids = 0, count = 0;    // in pool_
  };

  Line& line_of(uint64_t hash) { return lines_[hash >> line_shift_]; }
  LongEntry& slot_of(uint64_t hash) { return long_[hash >> long_shift_]; }
  // Lines and slots stay in place, but for this.
  void grow();
  void forget();
  void keep(const WordKey& key, std::span<const int32_t> ids);
  void keep_long(std::string_view word, uint64_t hash, std::span<const int32_t> ids);
  void put(const Entry& entry);
  void resize(size_t lines);
  void resize_long(size_t slots);

  std::vector<Line> lines_;
  int line_shift_;
  size_t kept_ = 0;  // words put since the last change of size
  std::vector<LongEntry> long_;
  int long_shift_;
  size_t long_kept_ = 0;
  std::vector<int32_t> pool_;
  std::vector<char> texts_;
  std::vector<Piece> pieces_;  // scratch
  std::vector<int32_t> ids_;   // scratch
};

// Appends the ids of the words of a text. The cache is of this model, which is not random.
void encode_words(const Model& model, WordCache& cache, std::string_view text,
                  std::span<const Span> words, IdBuffer& ids);

// How many ids those would be.
size_t count_words(const Model& model, WordCache& cache, std::string_view text,
                   std::span<const Span> words);

}  // namespace lowbit::tokenizers
