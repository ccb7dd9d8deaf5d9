#include <algorithm>

#include "bindings/tokenizer_parts.hpp"
#include "tokenizers/bpe.hpp"
#include "tokenizers/byte_alphabet.hpp"
#include "tokenizers/unigram.hpp"
#include "tokenizers/word_models.hpp"

namespace lowbit::bindings {
namespace {

using namespace tokenizers;

// Tokens by place in a table, or the bytes they stand for in GPT-2's alphabet, without those that
// have other characters, since no text leads to them.
class Tokens {
 public:
  Tokens(const TokenTable& table, bool bytes) {
    if (!bytes) {
      vocabulary_ = {table.tokens(), table.ids()};
      return;
    }
    StringTable& tokens = vocabulary_.tokens;
    tokens.reserve(table.size(), table.tokens().bytes().size());
    vocabulary_.ids.reserve(table.size());
    for (uint32_t number = 0; number < table.size(); ++number) {
      if (to_bytes(table.text(number), tokens.open())) {
        tokens.close();
        vocabulary_.ids.push_back(table.ids()[number]);
        continue;
      }
      tokens.drop();
      left_out_.push_back(number);
    }
  }

  // Without those of tokens that were left out.
  std::vector<TokenPair> merges(const Array<uint32_t>& pairs) const {
    const auto* begin = reinterpret_cast<const TokenPair*>(pairs.data());
    std::vector<TokenPair> out(begin, begin + pairs.size() / 2);
    if (left_out_.empty()) return out;
    const auto place = [&](uint32_t& number) {
      const auto before = std::lower_bound(left_out_.begin(), left_out_.end(), number);
      if (before != left_out_.end() && *before == number) return false;
      number -= static_cast<uint32_t>(before - left_out_.begin());
      return true;
    };
    std::erase_if(out, [&](TokenPair& pair) { return !place(pair.left) || !place(pair.right); });
    return out;
  }

  BpeVocabulary&& take() { return std::move(vocabulary_); }

 private:
  BpeVocabulary vocabulary_;
  std::vector<uint32_t> left_out_;  // in order
};

std::shared_ptr<const Model> make_bpe(const py::dict& model) {
  const bool bytes = option<bool>(model, "bytes");
  BpeOptions options;
  options.atoms = bytes ? Atoms::bytes : Atoms::characters;
  options.byte_fallback = option<bool>(model, "byte_fallback");
  options.unknown_id = option<std::optional<int32_t>>(model, "unknown_id");
  options.fuse_unknown = option<bool>(model, "fuse_unknown");
  options.ignore_merges = option<bool>(model, "ignore_merges");
  options.continuing_prefix = option<std::string>(model, "continuing_prefix");
  options.end_of_word_suffix = option<std::string>(model, "end_of_word_suffix");
  Tokens tokens(option<const TokenTable&>(model, "vocabulary"), bytes);
  if (option<bool>(model, "ranked")) {
    options.ignore_merges = true;
    BpeVocabulary vocabulary = tokens.take();
    const std::vector<int64_t> ranks(vocabulary.ids.begin(), vocabulary.ids.end());
    return Bpe::from_ranks(std::move(vocabulary), ranks, std::move(options));
  }
  const auto scores = option<std::vector<float>>(model, "scores");
  if (!scores.empty()) return Bpe::from_scores(tokens.take(), scores, std::move(options));
  const auto merges = tokens.merges(option<Array<uint32_t>>(model, "merges"));
  return Bpe::from_merges(tokens.take(), merges, std::move(options));
}

std::shared_ptr<const Model> make_unigram(const py::dict& model) {
  UnigramOptions options;
  options.unknown_id = option<std::optional<int32_t>>(model, "unknown_id").value_or(-1);
  options.byte_fallback = option<bool>(model, "byte_fallback");
  for (const int type : option<std::vector<int>>(model, "types"))
    options.types.push_back(static_cast<PieceType>(type));
  if (!options.types.empty()) options.mode = UnigramMode::sentencepiece;
  const auto scores = option<Array<double>>(model, "scores");
  return std::make_shared<Unigram>(option<const TokenTable&>(model, "pieces").tokens(),
                                   std::vector(scores.data(), scores.data() + scores.size()),
                                   std::move(options));
}

std::shared_ptr<const Model> make_words(const py::dict& model, WordModel kind) {
  VocabularyOptions options;
  options.model = kind;
  options.unknown_id = option<int32_t>(model, "unknown_id");
  if (kind == WordModel::wordpiece) {
    options.continuing_prefix = option<std::string>(model, "continuing_prefix");
    options.max_characters = option<int64_t>(model, "max_characters");
  }
  const auto& vocabulary = option<const TokenTable&>(model, "vocabulary");
  return std::make_shared<Vocabulary>(vocabulary.tokens(), vocabulary.ids(), options);
}

}  // namespace

std::shared_ptr<const Model> make_model(const py::dict& model) {
  const auto type = option<std::string>(model, "type");
  if (type == "Bpe") return make_bpe(model);
  if (type == "Unigram") return make_unigram(model);
  return make_words(model, type == "WordPiece" ? WordModel::wordpiece : WordModel::whole_word);
}

}  // namespace lowbit::bindings
