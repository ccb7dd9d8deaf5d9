#include "vectors/corpus.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/error.hpp"

namespace lowbit::vectors {
namespace {

// Every byte may matter: eight at a time, the last ones with zeros behind them.
uint64_t hash_of(std::string_view word) {
  uint64_t hash = word.size() * 0x9E3779B97F4A7C15u;
  for (size_t i = 0; i < word.size(); i += 8) {
    uint64_t part = 0;
    std::memcpy(&part, word.data() + i, std::min<size_t>(8, word.size() - i));
    hash = (hash ^ part) * 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
  }
  return hash;
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

CorpusBuilder::CorpusBuilder() : slots_(1024, -1), sentence_begin_(1, 0) {}

void CorpusBuilder::add_lines(std::string_view text) {
  const size_t size = text.size();
  for (size_t i = 0; i < size;) {
    if (is_space(text[i])) {
      if (text[i++] == '\n') end_sentence();
      continue;
    }
    const size_t begin = i;
    while (i < size && !is_space(text[i])) ++i;
    add_word(text.substr(begin, i - begin));
  }
  end_sentence();
}

void CorpusBuilder::add_word(std::string_view word) {
  if (word.empty()) return;
  check(word.size() <= INT32_MAX, "WordVectors.train: a word of ", word.size(),
        " bytes; words have less than 2 GB");
  const int32_t found = number(word);
  ++entries_[static_cast<size_t>(found)].count;
  tokens_.push_back(found);
}

void CorpusBuilder::end_sentence() {
  if (words() > sentence_begin_.back()) sentence_begin_.push_back(words());
}

size_t CorpusBuilder::slot_of(std::string_view word, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (; slots_[at] >= 0; at = (at + 1) & mask) {
    const Entry& entry = entries_[static_cast<size_t>(slots_[at])];
    if (entry.hash == hash && text(entry) == word) break;
  }
  return at;
}

int32_t CorpusBuilder::number(std::string_view word) {
  const uint64_t hash = hash_of(word);
  int32_t& slot = slots_[slot_of(word, hash)];
  if (slot >= 0) return slot;
  const auto made = static_cast<int32_t>(entries_.size());
  check(made < INT32_MAX / 2, "WordVectors.train: more than ", INT32_MAX / 2, " distinct words");
  slot = made;
  entries_.push_back(
      {hash, static_cast<int64_t>(bytes_.size()), 0, static_cast<int32_t>(word.size())});
  bytes_ += word;
  if (entries_.size() * 2 > slots_.size()) grow();
  return made;
}

void CorpusBuilder::grow() {
  slots_.assign(slots_.size() * 2, -1);
  const size_t mask = slots_.size() - 1;
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t at = entries_[i].hash & mask;
    while (slots_[at] >= 0) at = (at + 1) & mask;
    slots_[at] = static_cast<int32_t>(i);
  }
}

std::vector<int32_t> CorpusBuilder::choose(int64_t min_count,
                                           const std::vector<int32_t>& renamed) const {
  std::vector<int32_t> order(entries_.size());
  std::iota(order.begin(), order.end(), 0);
  const auto entry = [&](int32_t i) -> const Entry& { return entries_[static_cast<size_t>(i)]; };
  std::erase_if(order, [&](int32_t i) {
    return entry(i).count < min_count || renamed[static_cast<size_t>(i)] >= 0;
  });
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    if (entry(a).count != entry(b).count) return entry(a).count > entry(b).count;
    return text(entry(a)) < text(entry(b));
  });
  return order;
}

Corpus CorpusBuilder::build(int64_t min_count, int64_t max_words,
                            const std::vector<std::string>& first) {
  end_sentence();
  Corpus corpus;
  corpus.raw_words = words();
  corpus.words = first;
  std::vector<int32_t> renamed(entries_.size(), -1);
  for (size_t w = 0; w < first.size(); ++w) {
    const int32_t found = slots_[slot_of(first[w], hash_of(first[w]))];
    corpus.counts.push_back(found < 0 ? 0 : entries_[static_cast<size_t>(found)].count);
    if (found >= 0) renamed[static_cast<size_t>(found)] = static_cast<int32_t>(w);
  }
  for (const int32_t i : choose(min_count, renamed)) {
    if (max_words > 0 && std::ssize(corpus.words) >= max_words) break;
    const Entry& entry = entries_[static_cast<size_t>(i)];
    renamed[static_cast<size_t>(i)] = static_cast<int32_t>(corpus.words.size());
    corpus.words.emplace_back(text(entry));
    corpus.counts.push_back(entry.count);
  }
  // Numbers are replaced where they lie: what is kept never overtakes what is read.
  corpus.sentence_begin.push_back(0);
  size_t kept = 0;
  for (size_t s = 0; s + 1 < sentence_begin_.size(); ++s) {
    auto length = int64_t{0};
    for (auto i = sentence_begin_[s]; i < sentence_begin_[s + 1]; ++i) {
      const int32_t word = renamed[static_cast<size_t>(tokens_[static_cast<size_t>(i)])];
      if (word < 0) continue;
      tokens_[kept++] = word;
      if (++length % kLongestSentence == 0)
        corpus.sentence_begin.push_back(static_cast<int64_t>(kept));
    }
    if (static_cast<int64_t>(kept) > corpus.sentence_begin.back())
      corpus.sentence_begin.push_back(static_cast<int64_t>(kept));
  }
  tokens_.resize(kept);
  tokens_.shrink_to_fit();
  corpus.tokens = std::move(tokens_);
  *this = CorpusBuilder();
  return corpus;
}

}  // namespace lowbit::vectors
