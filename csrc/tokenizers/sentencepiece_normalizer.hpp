// How sentencepiece prepares a text: the longest entry of a character map anywhere in it is
// replaced, and spaces become U+2581.
#pragma once

#include <bitset>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/charsmap.hpp"
#include "tokenizers/double_array.hpp"
#include "tokenizers/precompiled.hpp"

namespace lowbit::tokenizers {

struct SentencePieceOptions {
  bool add_dummy_prefix = true;          // a space in front of the text
  bool remove_extra_whitespaces = true;  // at both ends, and all but one in a row
  bool escape_whitespaces = true;        // a space becomes U+2581
  bool treat_whitespace_as_suffix = false;  // the dummy prefix goes behind the text
};

class SentencePieceNormalizer {
 public:
  // The charsmap may be empty. Symbols that users defined are left as they are.
  SentencePieceNormalizer(std::string_view charsmap, const std::vector<std::string>& user_defined,
                          SentencePieceOptions options);

  // As Precompiled::normalize. A byte's origin ends where that of the next byte begins.
  void normalize(std::string_view text, std::string& out, Origins* origins = nullptr) const;

  // As Step has them.
  bool apply_to_word(std::string& word) const;
  bool takes_alone(char space) const;

 private:
  class Run;

  CharsMap map_;
  SentencePieceOptions options_;
  DoubleArray user_defined_;
  // Characters but the space that stay as they are: of ASCII in front of any other, else anywhere.
  std::bitset<0x10000> plain_;
  bool plain_space_;  // nothing that starts with a space is replaced
};

}  // namespace lowbit::tokenizers
