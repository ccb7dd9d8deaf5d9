// The tokens of words met before, and the loop that turns the words of a text into ids.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/memory.hpp"
#include "tokenizers/id_buffer.hpp"
#include "tokenizers/model.hpp"
#include "tokenizers/pattern.hpp"
#include "tokenizers/shared_words.hpp"
#include "tokenizers/word_key.hpp"

namespace lowbit::tokenizers {

// Of one model and one thread. Words of up to 15 bytes and 4 tokens take 32 bytes, two to a cache
// line; the others are kept apart. It starts small, so that short texts do not pay for it, and
// grows with the number of words to at most 4 MB and two pools of 4 MB.
class WordCache {
 public:
  WordCache();

  // Forgets all words, as before another model is used.
  void clear();

  // Where words that are not here are looked for and published, or null.
  void share(SharedWords* words) { shared_ = words; }

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
  // The later word comes first. What has no room is in the line beside it.
  struct alignas(64) Line {
    Entry entries[2];

    const Entry* find(const WordKey& key) const {
      for (const Entry& entry : entries)
        if (entry.difference(key) == 0) return &entry;
      return nullptr;
    }
  };
  struct LongEntry {
    uint64_t hash = 0;
    uint32_t text = 0, length = 0;  // in texts_; of length 0: free
    uint32_t ids = 0, count = 0;    // in pool_
  };

  size_t line_of(uint64_t hash) const { return hash >> line_shift_; }
  // Brings the word of a line from the line beside it to the front; null where it is not there.
  const Entry* fetch(const WordKey& key);
  // A long word goes to its slot, and what was there to the slot beside it.
  LongEntry& slot_of(uint64_t hash) { return long_[hash >> long_shift_]; }
  LongEntry& slot_beside(uint64_t hash) { return long_[hash >> long_shift_ ^ 1]; }
  void put_long(const LongEntry& entry);
  // Lines and slots stay in place, but for this.
  void grow();
  void forget();
  void keep(const WordKey& key, std::span<const int32_t> ids);
  void keep_long(std::string_view word, uint64_t hash, std::span<const int32_t> ids);
  void pool(std::span<const int32_t> ids);
  void put(const Entry& entry);
  void resize(size_t lines);
  void resize_long(size_t slots);

  Memory<Line> lines_;  // on large pages, as it is looked at everywhere
  size_t line_count_ = 0;
  int line_shift_;
  size_t kept_ = 0;  // words put since the last change of size
  std::vector<LongEntry> long_;
  int long_shift_;
  size_t long_kept_ = 0;
  std::vector<int32_t> pool_;
  std::vector<char> texts_;
  SharedWords* shared_ = nullptr;
  std::vector<Piece> pieces_;  // scratch
  std::vector<int32_t> ids_;   // scratch
};

// A thread's cache shares its words for as long as this lives.
class Sharing {
 public:
  Sharing(WordCache& cache, SharedWords* words) : cache_(cache) { cache_.share(words); }
  ~Sharing() { cache_.share(nullptr); }
  Sharing(const Sharing&) = delete;
  Sharing& operator=(const Sharing&) = delete;

 private:
  WordCache& cache_;
};

// A cache for one model after the other.
class ModelCache {
 public:
  // A number that tells a model from all others.
  static uint64_t new_owner();

  // Forgets the words of any other model.
  WordCache& of(uint64_t owner);

 private:
  std::unique_ptr<WordCache> cache_;
  uint64_t owner_ = 0;
};

// Spells words that are not in a cache.
class WordSource {
 public:
  virtual ~WordSource() = default;
  // False when the word may be spelled in another way elsewhere.
  virtual bool spell(std::string_view word, std::vector<Piece>& pieces) = 0;
  // Appends the ids of a word that is too long to be kept.
  virtual void spell_once(std::string_view word, IdBuffer& ids);
};
void encode_words(WordSource& source, WordCache& cache, std::string_view text,
                  std::span<const Span> words, IdBuffer& ids);

// Appends the ids of the words of a text. The cache is of this model, which is not random.
void encode_words(const Model& model, WordCache& cache, std::string_view text,
                  std::span<const Span> words, IdBuffer& ids);

// How many ids those would be.
size_t count_words(const Model& model, WordCache& cache, std::string_view text,
                   std::span<const Span> words);

}  // namespace lowbit::tokenizers
