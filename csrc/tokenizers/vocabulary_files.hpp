// The long parts of the files of tokenizers: vocabularies and merges. Each of these takes files as
// they should be, and returns nothing for any other; what is wrong with it is for a reader to say
// that takes its time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/token_table.hpp"

namespace lowbit::tokenizers {

struct TokenizerJson {
  std::shared_ptr<const TokenTable> vocabulary;  // null where there is none
  std::vector<double> scores;  // one for each token, where the vocabulary is a list
  bool has_scores = false;
  std::vector<TokenPair> merges;
  bool has_merges = false;
  bool joined = false;  // merges are written as one text with a space between
  std::string rest;     // the file with null in the place of what is above
};

// A tokenizer.json. Only what is not in `rest` has been checked to be JSON.
std::optional<TokenizerJson> read_tokenizer_json(std::string_view data);

// A .tiktoken file: a line for each token, base64 of its bytes and its id. The texts are those
// bytes in GPT-2's alphabet.
std::optional<TokenTable> read_tiktoken(std::string_view data);

}  // namespace lowbit::tokenizers
