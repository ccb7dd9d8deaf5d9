#include "tokenizers/word_models.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {

namespace {

std::vector<DoubleArray::Entry> numbered(const StringTable& tokens) {
  std::vector<DoubleArray::Entry> entries;
  for (size_t i = 0; i < tokens.size(); ++i)
    entries.push_back({tokens[i], static_cast<int32_t>(i)});
  return entries;
}

}  // namespace

Vocabulary::Vocabulary(const StringTable& tokens, const std::vector<int32_t>& ids,
                       VocabularyOptions options)
    : options_(std::move(options)), ids_(ids), trie_(numbered(tokens)),
      continuing_(trie_.find_node(options_.continuing_prefix)), whole_words_(tokens.size()) {
  check(tokens.size() == ids.size(), "Tokenizer: ", tokens.size(), " tokens but ", ids.size(),
        " ids");
  if (tokens.size() > WholeWords::kMost) return;
  // Of equal ones the last counts, which is met first.
  for (size_t i = tokens.size(); i-- > 0;)
    if (!tokens[i].empty() && tokens[i].size() <= WordKey::kMaxBytes)
      whole_words_.insert(tokens[i], ids[i]);
}

// Greedy longest match from the left (Devlin et al., 2019).
void Vocabulary::encode(std::string_view word, std::vector<Piece>& pieces) const {
  const Piece unknown{options_.unknown_id, 0, static_cast<int32_t>(word.size())};
  const bool pieced = options_.model == WordModel::wordpiece;
  if (pieced && static_cast<int64_t>(word.size()) > options_.max_characters &&
      std::count_if(word.begin(), word.end(), starts_point) > options_.max_characters)
    return pieces.push_back(unknown);
  if (word.size() <= WordKey::kMaxBytes)
    if (const int32_t id = whole_words_.find(word); id >= 0)
      return pieces.push_back({id, 0, unknown.end});
  if (!pieced) {
    const int32_t number = trie_.find(word);
    return pieces.push_back(
        {number == DoubleArray::kNone ? unknown.id : ids_[number], 0, unknown.end});
  }
  const size_t before = pieces.size();
  for (size_t at = 0; at < word.size();) {
    const uint64_t node = at == 0 ? trie_.find_node("") : continuing_;
    int32_t number = DoubleArray::kNone;
    size_t length = 0;
    trie_.prefixes(word.substr(at), node, [&](size_t bytes, int32_t found) {
      const bool ends = found != DoubleArray::kNone;
      number = ends ? found : number;
      length = ends ? bytes : length;
    });
    if (number == DoubleArray::kNone) {
      pieces.resize(before);
      return pieces.push_back(unknown);
    }
    pieces.push_back({ids_[number], static_cast<int32_t>(at), static_cast<int32_t>(at + length)});
    at += length;
  }
}

}  // namespace lowbit::tokenizers
