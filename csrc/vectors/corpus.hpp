// A corpus as word vectors are trained on it: sentences of word numbers, read once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lowbit::vectors {

// Longer sentences are cut, as word2vec's own program does.
constexpr int64_t kLongestSentence = 1000;

struct Corpus {
  std::vector<std::string> words;       // the most frequent first, equals in the order of bytes
  std::vector<int64_t> counts;          // of each
  std::vector<int32_t> tokens;          // numbers of words; rarer words are left out
  std::vector<int64_t> sentence_begin;  // [sentences + 1]
  int64_t raw_words = 0;                // with the rarer ones

  int64_t sentences() const { return static_cast<int64_t>(sentence_begin.size()) - 1; }
};

class CorpusBuilder {
 public:
  CorpusBuilder();

  // Each line is a sentence, its words are what ASCII white space separates.
  void add_lines(std::string_view text);
  void add_word(std::string_view word);
  void end_sentence();

  // The words of `first`, as they stand there and however often they occur; then words that occur
  // min_count times or more. max_words of both at most (0: all). What was added is given up.
  Corpus build(int64_t min_count, int64_t max_words, const std::vector<std::string>& first = {});

  int64_t words() const { return static_cast<int64_t>(tokens_.size()); }

 private:
  struct Entry {
    uint64_t hash;
    int64_t begin;  // of the bytes
    int64_t count;
    int32_t length;
  };
  std::string_view text(const Entry& entry) const {
    return {bytes_.data() + entry.begin, static_cast<size_t>(entry.length)};
  }
  // The slot that has a word, or that it would take.
  size_t slot_of(std::string_view word, uint64_t hash) const;
  int32_t number(std::string_view word);
  void grow();
  // The entries of the vocabulary behind the words of `first`, which have numbers in `renamed`.
  std::vector<int32_t> choose(int64_t min_count, const std::vector<int32_t>& renamed) const;

  std::vector<int32_t> slots_;  // open addressing, at most half full; -1 is free
  std::vector<Entry> entries_;  // in the order of their first appearance
  std::string bytes_;
  std::vector<int32_t> tokens_;  // numbers of entries
  std::vector<int64_t> sentence_begin_;
};

}  // namespace lowbit::vectors
