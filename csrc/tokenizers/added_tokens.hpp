// Tokens that are cut out of the text before it is split, such as [SEP].
#pragma once

#include <algorithm>
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

// Which special tokens written in a text are read as such; the others are text.
struct Specials {
  bool all = true;
  std::vector<int32_t> ids;  // where not all are

  bool read(int32_t id) const {
    return all || std::find(ids.begin(), ids.end(), id) != ids.end();
  }
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
  Found find(std::string_view text, size_t from, const Specials& specials) const;

 private:
  // The first byte from `at` on that begins a token, or the end.
  size_t next_start(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;
  Trie trie_;                       // content -> index in tokens_
  std::array<bool, 256> starts_{};  // bytes that begin a token
  std::string start_bytes_;         // the same as a list: mostly one or two
};

}  // namespace lowbit::tokenizers
