#include "bindings/tokenizer_parts.hpp"
#include "tokenizers/bpe.hpp"
#include "tokenizers/byte_alphabet.hpp"
#include "tokenizers/unigram.hpp"
#include "tokenizers/word_models.hpp"

namespace lowbit::bindings {
namespace {

using namespace tokenizers;

std::string_view token_of(py::handle token) {
  if (const auto bytes = utf8(token)) return *bytes;
  throw ArgumentError("Tokenizer: a token is no text");
}

// Tokens and ids of a dict; with `bytes` the bytes they stand for in GPT-2's alphabet, without
// those that have other characters, since no text leads to them.
BpeVocabulary read_vocabulary(const py::dict& vocabulary, bool bytes) {
  BpeVocabulary out;
  out.tokens.reserve(vocabulary.size());
  out.ids.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary) {
    std::string text;
    const std::string_view given = token_of(token);
    if (!bytes)
      text = given;
    else if (!to_bytes(given, text))
      continue;
    out.tokens.push_back(std::move(text));
    out.ids.push_back(py::cast<int32_t>(id));
  }
  return out;
}

// The two tokens of a merge: [left, right], or both with a space between.
std::pair<std::string_view, std::string_view> merge_parts(PyObject* merge, size_t number) {
  if (PyUnicode_Check(merge)) {
    const std::string_view both = token_of(merge);
    const size_t space = both.find(' ');
    if (space != std::string_view::npos) return {both.substr(0, space), both.substr(space + 1)};
  } else if ((PyList_Check(merge) || PyTuple_Check(merge)) && PySequence_Size(merge) == 2) {
    PyObject* const* items = PySequence_Fast_ITEMS(merge);
    return {token_of(items[0]), token_of(items[1])};
  }
  throw ArgumentError(message("Tokenizer: merge ", number, " is not a pair of tokens"));
}

Bpe::StringMerges read_merges(const py::list& merges, bool bytes) {
  Bpe::StringMerges out;
  out.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto [left, right] =
        merge_parts(PyList_GET_ITEM(merges.ptr(), static_cast<Py_ssize_t>(i)), i);
    if (!bytes) {
      out.emplace_back(left, right);
      continue;
    }
    std::string first, second;
    if (to_bytes(left, first) && to_bytes(right, second))
      out.emplace_back(std::move(first), std::move(second));
  }
  return out;
}

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
  BpeVocabulary vocabulary = read_vocabulary(option<py::dict>(model, "vocabulary"), bytes);
  if (option<bool>(model, "ranked")) {
    const std::vector<int64_t> ranks(vocabulary.ids.begin(), vocabulary.ids.end());
    options.ignore_merges = true;
    return Bpe::from_ranks(std::move(vocabulary), ranks, std::move(options));
  }
  const auto scores = option<std::vector<float>>(model, "scores");
  if (!scores.empty()) return Bpe::from_scores(std::move(vocabulary), scores, std::move(options));
  return Bpe::from_merges(vocabulary, read_merges(option<py::list>(model, "merges"), bytes),
                          std::move(options));
}

std::shared_ptr<const Model> make_unigram(const py::dict& model) {
  UnigramOptions options;
  options.unknown_id = option<std::optional<int32_t>>(model, "unknown_id").value_or(-1);
  options.byte_fallback = option<bool>(model, "byte_fallback");
  for (const int type : option<std::vector<int>>(model, "types"))
    options.types.push_back(static_cast<PieceType>(type));
  if (!options.types.empty()) options.mode = UnigramMode::sentencepiece;
  std::vector<std::string> tokens;
  std::vector<double> scores;
  for (const py::handle piece : option<py::list>(model, "pieces")) {
    const auto pair = py::cast<py::sequence>(piece);
    tokens.emplace_back(token_of(pair[0]));
    scores.push_back(py::cast<double>(pair[1]));
  }
  return std::make_shared<Unigram>(tokens, scores, std::move(options));
}

std::shared_ptr<const Model> make_words(const py::dict& model, WordModel kind) {
  VocabularyOptions options;
  options.model = kind;
  options.unknown_id = option<int32_t>(model, "unknown_id");
  if (kind == WordModel::wordpiece) {
    options.continuing_prefix = option<std::string>(model, "continuing_prefix");
    options.max_characters = option<int64_t>(model, "max_characters");
  }
  const BpeVocabulary vocabulary = read_vocabulary(option<py::dict>(model, "vocabulary"), false);
  return std::make_shared<Vocabulary>(vocabulary.tokens, vocabulary.ids, options);
}

}  // namespace

std::shared_ptr<const Model> make_model(const py::dict& model) {
  const auto type = option<std::string>(model, "type");
  if (type == "Bpe") return make_bpe(model);
  if (type == "Unigram") return make_unigram(model);
  return make_words(model, type == "WordPiece" ? WordModel::wordpiece : WordModel::whole_word);
}

}  // namespace lowbit::bindings
