#include "tokenizers/tokenizer.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>

#include "core/error.hpp"
#include "core/threads.hpp"

namespace lowbit::tokenizers {
namespace {

// The pieces of short words met before: 8,192 entries of 32 bytes, one set per thread. Most words
// of a text are few and frequent, and a hit costs one cache line.
class WordCache {
 public:
  struct Entry {
    uint64_t low = 0, high = 0;  // up to 15 bytes, the length in the last; all zero: free
    int32_t ids[3] = {};
    int32_t count = 0;
  };
  static constexpr size_t kMaxBytes = 15;
  static constexpr size_t kMaxPieces = 3;

  void use_for(uint64_t serial) {
    if (serial_ == serial) return;
    serial_ = serial;
    entries_.assign(kEntries, {});
  }

  // The entry for the word; its `count` is 0 when the word is not in it yet.
  Entry& at(std::string_view word) {
    char key[16] = {};
    std::memcpy(key, word.data(), word.size());
    key[15] = static_cast<char>(word.size());
    uint64_t low, high;
    std::memcpy(&low, key, 8);
    std::memcpy(&high, key + 8, 8);
    const uint64_t mixed = (low ^ (high * 0x9E3779B97F4A7C15u)) * 0xD6E8FEB86659FD93u;
    Entry& entry = entries_[mixed >> (64 - kBits)];
    if (entry.low != low || entry.high != high) entry = {low, high, {}, 0};
    return entry;
  }

 private:
  static constexpr int kBits = 13;
  static constexpr size_t kEntries = size_t{1} << kBits;
  uint64_t serial_ = 0;
  std::vector<Entry> entries_;
};

WordCache& thread_cache(uint64_t serial) {
  thread_local std::unique_ptr<WordCache> cache;
  if (!cache) cache = std::make_unique<WordCache>();
  cache->use_for(serial);
  return *cache;
}

int32_t count_points(std::string_view text) {
  return static_cast<int32_t>(std::count_if(text.begin(), text.end(), starts_point));
}

struct IdSink {
  const Vocabulary& vocabulary;
  WordCache& cache;
  std::vector<int32_t>& ids;
  std::vector<Piece> pieces{};

  void word(const Word& word) {
    if (word.text.size() > WordCache::kMaxBytes) return spell(word.text);
    WordCache::Entry& entry = cache.at(word.text);
    if (entry.count == 0) {
      const size_t before = ids.size();
      spell(word.text);
      const size_t count = ids.size() - before;
      if (count > WordCache::kMaxPieces) return;
      std::copy_n(ids.begin() + static_cast<ptrdiff_t>(before), count, entry.ids);
      entry.count = static_cast<int32_t>(count);
      return;
    }
    ids.insert(ids.end(), entry.ids, entry.ids + entry.count);
  }
  void spell(std::string_view text) {
    pieces.clear();
    vocabulary.encode(text, pieces);
    for (const Piece& piece : pieces) ids.push_back(piece.id);
  }
  void token(int32_t id, int32_t, int32_t) { ids.push_back(id); }
};

struct LocatedSink {
  const Vocabulary& vocabulary;
  Located& out;
  int32_t words = 0;
  std::vector<Piece> pieces{};

  void word(const Word& word) {
    pieces.clear();
    vocabulary.encode(word.text, pieces);
    for (const Piece& piece : pieces) {
      const std::string_view text(word.text);
      const auto first = static_cast<size_t>(count_points(text.substr(0, piece.begin)));
      const auto last = static_cast<size_t>(count_points(text.substr(0, piece.end))) - 1;
      add(piece.id, word.origins[first], word.origins[last] + 1);
    }
    ++words;
  }
  void token(int32_t id, int32_t begin, int32_t end) {
    add(id, begin, end);
    ++words;
  }
  void add(int32_t id, int32_t begin, int32_t end) {
    out.ids.push_back(id);
    out.begins.push_back(begin);
    out.ends.push_back(end);
    out.words.push_back(words);
  }
};

struct TextSink {
  std::vector<std::string>& words;

  void word(const Word& word) { words.push_back(word.text); }
  void token(int32_t, int32_t, int32_t) {}
};

}  // namespace

Tokenizer::Tokenizer(Vocabulary vocabulary, AddedTokens added, SplitOptions split)
    : vocabulary_(std::move(vocabulary)), added_(std::move(added)), split_(split) {
  static std::atomic<uint64_t> next{1};
  serial_ = next.fetch_add(1);
}

// The text between added tokens goes through the splitter, each stretch on its own.
template <class Sink, bool with_origins>
void Tokenizer::run(std::string_view text, Sink& sink) const {
  Splitter<Sink, with_origins> splitter(split_, sink);
  int32_t origin = 0;
  for (size_t at = 0; at < text.size();) {
    const AddedTokens::Found found = added_.find(text, at);
    const size_t stop = std::min(found.begin, text.size());
    splitter.run(text.substr(at, stop - at), origin);
    if constexpr (with_origins) origin += count_points(text.substr(at, stop - at));
    if (stop == text.size()) return;
    const std::string_view token = text.substr(found.begin, found.end - found.begin);
    const int32_t length = with_origins ? count_points(token) : 0;
    sink.token(found.id, origin, origin + length);
    origin += length;
    at = found.end;
  }
}

Located Tokenizer::encode(std::string_view text) const {
  Located out;
  LocatedSink sink{vocabulary_, out};
  run<LocatedSink, true>(text, sink);
  return out;
}

std::vector<std::string> Tokenizer::split(std::string_view text) const {
  std::vector<std::string> words;
  TextSink sink{words};
  run<TextSink, false>(text, sink);
  return words;
}

void Tokenizer::encode_ids(std::string_view text, std::vector<int32_t>& ids) const {
  IdSink sink{vocabulary_, thread_cache(serial_), ids};
  run<IdSink, false>(text, sink);
}

Ragged Tokenizer::encode_batch(const std::vector<std::string_view>& texts,
                               const Frame& frame) const {
  const auto around = static_cast<int64_t>(frame.before.size() + frame.after.size());
  check(frame.max_length >= around, "Tokenizer.encode_batch: max_length=", frame.max_length,
        " leaves no room for the ", around, " special tokens");
  const auto count = static_cast<int64_t>(texts.size());
  int64_t bytes = 0;
  for (const std::string_view text : texts) bytes += static_cast<int64_t>(text.size());
  // About 32 kB of text a task, so that documents of very different length still share out.
  const int64_t grain = std::max<int64_t>(1, count * 32768 / std::max<int64_t>(1, bytes));
  struct Part {
    std::vector<int32_t> ids;
    std::vector<int64_t> ends;  // within this part
  };
  std::vector<Part> parts((static_cast<size_t>(count) + grain - 1) / grain);
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> text_ids;
    Part& part = parts[static_cast<size_t>(begin / grain)];
    for (int64_t i = begin; i < end; ++i) {
      text_ids.clear();
      encode_ids(texts[static_cast<size_t>(i)], text_ids);
      const int64_t kept = std::min<int64_t>(std::ssize(text_ids), frame.max_length - around);
      const auto first = frame.keep_end ? text_ids.end() - kept : text_ids.begin();
      part.ids.insert(part.ids.end(), frame.before.begin(), frame.before.end());
      part.ids.insert(part.ids.end(), first, first + kept);
      part.ids.insert(part.ids.end(), frame.after.begin(), frame.after.end());
      part.ends.push_back(std::ssize(part.ids));
    }
  });
  Ragged out;
  out.indptr.reserve(texts.size() + 1);
  out.indptr.push_back(0);
  for (const Part& part : parts) {
    const int64_t base = std::ssize(out.ids);
    for (const int64_t end : part.ends) out.indptr.push_back(base + end);
    out.ids.insert(out.ids.end(), part.ids.begin(), part.ids.end());
  }
  return out;
}

}  // namespace lowbit::tokenizers
