// Tokens that are cut out of the text before it is split, such as [SEP].
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/trie.hpp"

namespace lowbit::tokenizers {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  // only between characters that are not part of a word
  bool lstrip = false;       // swallows the white space before it
  bool rstrip = false;       // and behind it
  bool special = false;      // can be asked to be read as text
  bool normalized = false;   // looked for behind the normalizers, which it goes through itself
};

class AddedTokens {
 public:
  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }

  // The first token in text[from:], leftmost and then longest; begin == npos when there is none.
  struct Found {
    size_t begin = std::string_view::npos;  // with the white space it swallows
    size_t end = 0;
    int32_t id = 0;
  };
  Found find(std::string_view text, size_t from) const;

 private:
  std::vector<AddedToken> tokens_;
  Trie trie_;                       // content -> index in tokens_
  std::array<bool, 256> starts_{};  // bytes that begin a token
};

}  // namespace lowbit::tokenizers
