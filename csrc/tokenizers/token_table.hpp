// The vocabulary of a tokenizer as its file has it: texts, ids, and which two tokens a merge joins.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizers/token_index.hpp"

namespace lowbit::tokenizers {

// Numbers of tokens, which are their places in the table.
struct TokenPair {
  uint32_t left, right;
};

class TokenTable {
 public:
  // `ids` are those of the tokens in order, at least 0.
  TokenTable(StringTable tokens, std::vector<int32_t> ids)
      : index_(std::move(tokens)), ids_(std::move(ids)) {
    check(index_.size() == ids_.size(), "Tokenizer: ", index_.size(), " tokens but ", ids_.size(),
          " ids");
  }

  size_t size() const { return ids_.size(); }
  std::string_view text(uint32_t number) const { return index_.text(number); }
  // The number of the last token equal to `text`, or TokenIndex::kNone.
  uint32_t find(std::string_view text) const { return index_.find(text); }
  bool has_equal_tokens() const { return index_.has_equal_tokens(); }
  const std::vector<int32_t>& ids() const { return ids_; }
  const StringTable& tokens() const { return index_.tokens(); }

  // Whether a token has `mark` behind something else than marks.
  bool has_behind(std::string_view mark) const;

 private:
  TokenIndex index_;
  std::vector<int32_t> ids_;
};

}  // namespace lowbit::tokenizers
