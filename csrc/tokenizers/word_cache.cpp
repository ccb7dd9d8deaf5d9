#include "tokenizers/word_cache.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>

namespace lowbit::tokenizers {
namespace {

constexpr size_t kFirstLines = size_t{1} << 10;
constexpr size_t kMaxLines = size_t{1} << 16;
constexpr size_t kFirstLong = size_t{1} << 8;
constexpr size_t kMaxLong = size_t{1} << 16;
constexpr size_t kMaxPool = size_t{1} << 20;   // ids
constexpr size_t kMaxTexts = size_t{1} << 22;  // bytes
constexpr size_t kMaxLength = 1024;            // longer words come once
constexpr size_t kBatch = 32;                  // words whose cache lines are fetched ahead

}  // namespace

WordCache::WordCache() { clear(); }

void WordCache::clear() {
  line_count_ = 0;
  long_.clear();
  pool_.clear();
  texts_.clear();
  resize(kFirstLines);
  resize_long(kFirstLong);
}

void WordCache::forget() {
  std::fill_n(lines_.get(), line_count_, Line{});
  std::fill(long_.begin(), long_.end(), LongEntry{});
  pool_.clear();
  texts_.clear();
}

void WordCache::grow() {
  if (kept_ > line_count_ && line_count_ < kMaxLines) resize(4 * line_count_);
  if (2 * long_kept_ > long_.size() && long_.size() < kMaxLong) resize_long(4 * long_.size());
}

void WordCache::resize(size_t lines) {
  Memory<Line> old = take<Line>(static_cast<int64_t>(lines));
  std::fill_n(old.get(), lines, Line{});
  std::swap(old, lines_);
  const std::span<const Line> before(old.get(), std::exchange(line_count_, lines));
  line_shift_ = 64 - std::countr_zero(lines);
  for (const Line& line : before)
    for (const Entry* entry : {&line.entries[1], &line.entries[0]})
      if (entry->high != 0) put(*entry);
  kept_ = 0;
}

void WordCache::resize_long(size_t slots) {
  const std::vector<LongEntry> old = std::move(long_);
  long_.assign(slots, {});
  long_shift_ = 64 - std::countr_zero(slots);
  for (const LongEntry& entry : old)
    if (entry.length > 0) put_long(entry);
  long_kept_ = 0;
}

void WordCache::put(const Entry& entry) {
  const size_t at = line_of(entry.key().hash());
  Line& line = lines_[at];
  if (line.entries[1].high != 0) lines_[at ^ 1].entries[1] = line.entries[1];
  line.entries[1] = line.entries[0];
  line.entries[0] = entry;
}

const WordCache::Entry* WordCache::fetch(const WordKey& key) {
  const size_t at = line_of(key.hash());
  Line& line = lines_[at];
  if (line.entries[1].high == 0) return nullptr;  // nothing of a line that has room is beside it
  for (Entry& entry : lines_[at ^ 1].entries) {
    if (entry.difference(key) != 0) continue;
    const Entry found = std::exchange(entry, line.entries[1]);
    line.entries[1] = line.entries[0];
    line.entries[0] = found;
    return line.entries;
  }
  return nullptr;
}

void WordCache::keep(const WordKey& key, std::span<const int32_t> ids) {
  if (pool_.size() + ids.size() > kMaxPool) forget();
  ++kept_;
  Entry entry{key.low, key.high, {}};
  if (ids.size() <= kMaxIds) {
    std::copy(ids.begin(), ids.end(), entry.ids);
    entry.high |= uint64_t{ids.size()} << 60;
  } else {
    entry.ids[0] = static_cast<int32_t>(pool_.size());
    entry.ids[1] = static_cast<int32_t>(ids.size());
    entry.high |= uint64_t{kPooled} << 60;
    pool(ids);
  }
  put(entry);
}

// Filled up, so that ids may be read four at a time.
void WordCache::pool(std::span<const int32_t> ids) {
  pool_.insert(pool_.end(), ids.begin(), ids.end());
  pool_.resize((pool_.size() + 3) & ~size_t{3});
}

void WordCache::put_long(const LongEntry& entry) {
  LongEntry& slot = slot_of(entry.hash);
  if (slot.length > 0) slot_beside(entry.hash) = slot;
  slot = entry;
}

void WordCache::keep_long(std::string_view word, uint64_t hash, std::span<const int32_t> ids) {
  if (pool_.size() + ids.size() > kMaxPool || texts_.size() + word.size() > kMaxTexts) forget();
  ++long_kept_;
  put_long({hash, static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(word.size()),
            static_cast<uint32_t>(pool_.size()), static_cast<uint32_t>(ids.size())});
  texts_.insert(texts_.end(), word.begin(), word.end());
  pool(ids);
}

uint64_t ModelCache::new_owner() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1);
}

WordCache& ModelCache::of(uint64_t owner) {
  if (!cache_)
    cache_ = std::make_unique<WordCache>();
  else if (owner_ != owner)
    cache_->clear();
  owner_ = owner;
  return *cache_;
}

// The words of one text: first where a batch of them would be in the cache, so that its lines are
// on the way when they are looked at.
template <bool counting>
class WordLoop {
 public:
  WordLoop(WordSource& source, WordCache& cache, std::string_view text, IdBuffer* ids)
      : source_(source), cache_(cache), text_(text), ids_(ids) {}

  // How many ids there are.
  size_t run(std::span<const Span> words) {
    size_t total = 0;
    for (size_t at = 0; at < words.size(); at += kBatch) {
      const auto batch = words.subspan(at, std::min(kBatch, words.size() - at));
      cache_.grow();
      prepare(batch);
      total += look_up(batch);
    }
    return total;
  }

 private:
  using Entry = WordCache::Entry;

  void prepare(std::span<const Span> words) {
    // Words come in order, so that the last one tells how far may be read.
    if (words.back().begin + 16 <= text_.size()) [[likely]]
      prepare<true>(words);
    else
      prepare<false>(words);
  }

  // Apart from the other loop, since both need all registers.
  template <bool padded>
  [[gnu::noinline]] void prepare(std::span<const Span> words) {
    const std::string_view text = text_;
    WordCache::Line* lines = cache_.lines_.get();
    const int shift = cache_.line_shift_;
    for (size_t i = 0; i < words.size(); ++i) {
      const auto [begin, end] = words[i];
      const size_t length = end - begin;
      if (length > WordKey::kMaxBytes) [[unlikely]] {
        const uint64_t hash = length > kMaxLength ? 0 : hash_bytes(text.substr(begin, length));
        keys_[i] = {hash, WordKey::kLong};
        lines_[i] = lines;
        __builtin_prefetch(&cache_.slot_of(hash));
        continue;
      }
      const WordKey key = padded ? key_of_padded(text.data() + begin, length)
                                 : key_of(text.substr(begin, length));
      keys_[i] = key;
      lines_[i] = lines + (key.hash() >> shift);
      __builtin_prefetch(lines_[i]);
    }
  }

  size_t look_up(std::span<const Span> words) {
    int32_t* out = room();
    size_t total = 0, count = 0;
    for (size_t i = 0; i < words.size(); ++i) {
      // Two words of one line that begin with the same eight bytes are found on the long way.
      const Entry* entry = lines_[i]->entries;
      entry += entry->low != keys_[i].low;
      const uint64_t high = entry->high;
      const bool found = entry->difference(keys_[i]) == 0;
      if (found && entry->count() != WordCache::kPooled) [[likely]] {
        // All four are copied: faster than as many as there are.
        if constexpr (!counting) std::memcpy(out + count, entry->ids, sizeof(entry->ids));
        count += high >> 60;
        continue;
      }
      total += count;
      advance(count);
      count = 0;
      if (found)
        total += append_pooled(*entry);
      else if (words[i].end - words[i].begin > kMaxLength)
        total += append_once(words[i]);
      else
        total += append(keys_[i].high == WordKey::kLong ? find_long(words[i], keys_[i])
                                                        : find(words[i], keys_[i], *lines_[i]));
      out = room();
    }
    advance(count);
    return total + count;
  }

  int32_t* room() { return counting ? nullptr : ids_->room(kBatch * WordCache::kMaxIds); }
  void advance(size_t count) {
    if constexpr (!counting) ids_->advance(count);
  }
  size_t append(std::span<const int32_t> ids) {
    if constexpr (!counting) ids_->append(ids.data(), ids.size());
    return ids.size();
  }
  size_t append_pooled(const Entry& entry) {
    const auto count = static_cast<size_t>(entry.ids[1]);
    if constexpr (!counting) {
      const int32_t* from = cache_.pool_.data() + entry.ids[0];
      int32_t* to = ids_->room(count + 3);
      for (size_t i = 0; i < count; i += 4) std::memcpy(to + i, from + i, 4 * sizeof(int32_t));
      ids_->advance(count);
    }
    return count;
  }

  size_t append_once(Span word) {
    IdBuffer counted;
    IdBuffer& ids = counting ? counted : *ids_;
    const size_t before = ids.size();
    source_.spell_once(text_.substr(word.begin, word.end - word.begin), ids);
    return ids.size() - before;
  }

  // The ids of a word that is not in the cache, as another thread spelled it or in the cache's
  // scratch; says whether they are those of the word anywhere.
  bool learn(const WordKey& key, std::string_view word, std::span<const int32_t>& ids) {
    SharedWords* shared = cache_.shared_;
    if (shared) {
      if (const auto found = shared->find(key, word)) {
        ids = *found;
        return true;
      }
    }
    cache_.pieces_.clear();
    cache_.ids_.clear();
    const bool lasting = source_.spell(word, cache_.pieces_);
    for (const Piece& piece : cache_.pieces_) cache_.ids_.push_back(piece.id);
    ids = cache_.ids_;
    if (lasting && shared) shared->publish(key, word, ids);
    return lasting;
  }

  [[gnu::noinline]] std::span<const int32_t> find(Span word, const WordKey& key,
                                                  const WordCache::Line& line) {
    if (const Entry* entry = line.find(key)) return ids_of(*entry);
    if (const Entry* beside = cache_.fetch(key)) return ids_of(*beside);
    std::span<const int32_t> ids;
    if (learn(key, text_.substr(word.begin, word.end - word.begin), ids)) cache_.keep(key, ids);
    return ids;
  }

  std::span<const int32_t> ids_of(const Entry& entry) const {
    if (entry.count() != WordCache::kPooled) return {entry.ids, entry.count()};
    return std::span<const int32_t>(cache_.pool_)
        .subspan(static_cast<size_t>(entry.ids[0]), static_cast<size_t>(entry.ids[1]));
  }

  [[gnu::noinline]] std::span<const int32_t> find_long(Span place, const WordKey& key) {
    const uint64_t hash = key.low;
    const std::string_view word = text_.substr(place.begin, place.end - place.begin);
    for (const auto* entry : {&cache_.slot_of(hash), &cache_.slot_beside(hash)}) {
      if (entry->hash == hash && entry->length == word.size() &&
          std::memcmp(cache_.texts_.data() + entry->text, word.data(), word.size()) == 0)
        return std::span<const int32_t>(cache_.pool_).subspan(entry->ids, entry->count);
    }
    std::span<const int32_t> ids;
    if (learn(key, word, ids)) cache_.keep_long(word, hash, ids);
    return ids;
  }

  WordSource& source_;
  WordCache& cache_;
  std::string_view text_;
  IdBuffer* ids_;
  WordKey keys_[kBatch];
  const WordCache::Line* lines_[kBatch];
};

namespace {

class ModelSource final : public WordSource {
 public:
  explicit ModelSource(const Model& model) : model_(model) {}
  bool spell(std::string_view word, std::vector<Piece>& pieces) override {
    model_.encode(word, pieces);
    return true;
  }
  void spell_once(std::string_view word, IdBuffer& ids) override { model_.encode_ids(word, ids); }

 private:
  const Model& model_;
};

}  // namespace

void WordSource::spell_once(std::string_view word, IdBuffer& ids) {
  std::vector<Piece> pieces;
  spell(word, pieces);
  append_ids(pieces, ids);
}

void encode_words(WordSource& source, WordCache& cache, std::string_view text,
                  std::span<const Span> words, IdBuffer& ids) {
  WordLoop<false>(source, cache, text, &ids).run(words);
}

void encode_words(const Model& model, WordCache& cache, std::string_view text,
                  std::span<const Span> words, IdBuffer& ids) {
  ModelSource source(model);
  encode_words(source, cache, text, words, ids);
}

size_t count_words(const Model& model, WordCache& cache, std::string_view text,
                   std::span<const Span> words) {
  ModelSource source(model);
  return WordLoop<true>(source, cache, text, nullptr).run(words);
}

}  // namespace lowbit::tokenizers
