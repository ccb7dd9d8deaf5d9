// Words to ids: WordPiece, and the whole-word model that word and character tokenizers share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/double_array.hpp"
#include "tokenizers/model.hpp"
#include "tokenizers/string_table.hpp"
#include "tokenizers/whole_words.hpp"

namespace lowbit::tokenizers {

enum class WordModel { wordpiece, whole_word };

struct VocabularyOptions {
  WordModel model = WordModel::wordpiece;
  int32_t unknown_id = 0;
  std::string continuing_prefix = "##";
  int64_t max_characters = 100;  // longer words are unknown
};

class Vocabulary final : public Model {
 public:
  // `ids[i]` is the id of `tokens[i]`.
  Vocabulary(const StringTable& tokens, const std::vector<int32_t>& ids,
             VocabularyOptions options);

  // The unknown id alone when the word cannot be spelled.
  void encode(std::string_view word, std::vector<Piece>& pieces) const override;

 private:
  VocabularyOptions options_;
  std::vector<int32_t> ids_;  // by number of the token, which the others give
  DoubleArray trie_;          // of all tokens
  uint64_t continuing_;       // the node of the prefix: its children continue a word
  WholeWords whole_words_;    // of all tokens those that fit
};

}  // namespace lowbit::tokenizers
