#include "tokenizers/word_models.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {

Vocabulary::Vocabulary(const StringTable& tokens, const std::vector<int32_t>& ids,
                       VocabularyOptions options)
    : options_(std::move(options)) {
  check(tokens.size() == ids.size(), "Tokenizer: ", tokens.size(), " tokens but ", ids.size(),
        " ids");
  const std::string& prefix = options_.continuing_prefix;
  for (size_t i = 0; i < tokens.size(); ++i) {
    first_.insert(tokens[i], ids[i]);
    if (tokens[i].size() > prefix.size() && tokens[i].starts_with(prefix))
      continuing_.insert(tokens[i].substr(prefix.size()), ids[i]);
  }
}

// Greedy longest match from the left (Devlin et al., 2019).
void Vocabulary::encode(std::string_view word, std::vector<Piece>& pieces) const {
  const Piece unknown{options_.unknown_id, 0, static_cast<int32_t>(word.size())};
  if (options_.model == WordModel::whole_word) {
    const int32_t id = first_.find(word);
    pieces.push_back(id == Trie::kNone ? unknown : Piece{id, 0, unknown.end});
    return;
  }
  const auto characters = std::count_if(word.begin(), word.end(), starts_point);
  if (characters > options_.max_characters) return pieces.push_back(unknown);
  const size_t before = pieces.size();
  for (size_t at = 0; at < word.size();) {
    const Trie& trie = at == 0 ? first_ : continuing_;
    const Trie::Match match = trie.longest(word.substr(at));
    if (match.id == Trie::kNone) {
      pieces.resize(before);
      return pieces.push_back(unknown);
    }
    pieces.push_back({match.id, static_cast<int32_t>(at),
                      static_cast<int32_t>(at + match.length)});
    at += match.length;
  }
}

}  // namespace lowbit::tokenizers
