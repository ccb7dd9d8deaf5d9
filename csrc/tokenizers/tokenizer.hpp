// A whole tokenizer of words: added tokens, split, model. Immutable, so any number of threads may
// use one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/added_tokens.hpp"
#include "tokenizers/splitter.hpp"
#include "tokenizers/word_models.hpp"

namespace lowbit::tokenizers {

// One text with the place of every token in it.
struct Located {
  std::vector<int32_t> ids;
  std::vector<int32_t> begins, ends;  // in code points
  std::vector<int32_t> words;         // number of the word in the text
};

// What surrounds the ids of each text of a batch, and how many ids a text may have in all.
struct Frame {
  std::vector<int32_t> before, after;
  int64_t max_length = INT64_MAX;  // at least before.size() + after.size()
  bool keep_end = false;           // cut at the beginning instead of the end
};

struct Ragged {
  std::vector<int32_t> ids;
  std::vector<int64_t> indptr;
};

class Tokenizer {
 public:
  Tokenizer(Vocabulary vocabulary, AddedTokens added, SplitOptions split);

  Located encode(std::string_view text) const;

  // The normalised words between added tokens, before the model.
  std::vector<std::string> split(std::string_view text) const;

  // Over the threads of the pool; the result does not depend on their number.
  Ragged encode_batch(const std::vector<std::string_view>& texts, const Frame& frame) const;

 private:
  template <class Sink, bool with_origins>
  void run(std::string_view text, Sink& sink) const;
  void encode_ids(std::string_view text, std::vector<int32_t>& ids) const;

  Vocabulary vocabulary_;
  AddedTokens added_;
  SplitOptions split_;
  uint64_t serial_;  // tells the caches of this tokenizer from those of another
};

}  // namespace lowbit::tokenizers
