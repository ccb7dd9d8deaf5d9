#include "bindings/topics.hpp"
#include "bindings/tokenizer_parts.hpp"
#include "tokenizers/tokenizer.hpp"
#include "tokenizers/training/bpe_trainer.hpp"
#include "tokenizers/training/unigram_trainer.hpp"
#include "tokenizers/training/wordpiece_trainer.hpp"

namespace lowbit::bindings {
namespace {

using namespace tokenizers;

void add_texts(WordCounts& counts, const Tokenizer& tokenizer,
               const std::vector<std::string>& texts) {
  released([&] {
    for (const std::string& text : texts) tokenizer.count(text, counts);
  });
}

// Calls progress(stage, done, total), if it is not None; what it raises ends the training.
Progress caller_of(const py::object& progress) {
  if (progress.is_none()) return {};
  return [progress](const char* stage, int64_t done, int64_t total) {
    const py::gil_scoped_acquire lock;
    progress(stage, done, total);
    return true;
  };
}

py::list bytes_list(const std::vector<std::string>& tokens) {
  py::list out;
  for (const std::string& token : tokens) out.append(py::bytes(token));
  return out;
}

py::tuple learn_bpe(const WordCounts& counts, int64_t vocab_size, int64_t min_frequency,
                    const std::vector<std::string>& special_tokens, const py::object& progress) {
  BpeTrainerOptions options;
  options.vocab_size = vocab_size;
  options.min_frequency = min_frequency;
  options.alphabet.special_tokens = special_tokens;
  const Progress report = caller_of(progress);
  BpeTraining made;
  released([&] {
    made = train_bpe(counts.words(), options, report, "Tokenizer.train");
  });
  return py::make_tuple(bytes_list(made.tokens), py::cast(made.merges));
}

py::list learn_wordpiece(const WordCounts& counts, int64_t vocab_size, int64_t min_frequency,
                         const std::vector<std::string>& special_tokens,
                         const py::object& progress) {
  WordPieceTrainerOptions options;
  options.vocab_size = vocab_size;
  options.min_frequency = min_frequency;
  options.special_tokens = special_tokens;
  const Progress report = caller_of(progress);
  std::vector<std::string> made;
  released([&] { made = train_wordpiece(counts.words(), options, report); });
  return bytes_list(made);
}

py::tuple learn_unigram(const WordCounts& counts, int64_t vocab_size,
                        const std::vector<std::string>& special_tokens,
                        const py::object& progress) {
  UnigramTrainerOptions options;
  options.vocab_size = vocab_size;
  options.special_tokens = special_tokens;
  options.unknown_token = special_tokens.front();
  const Progress report = caller_of(progress);
  UnigramTraining made;
  released([&] { made = train_unigram(counts.words(), options, report); });
  return py::make_tuple(bytes_list(made.tokens), made.scores);
}

}  // namespace

void bind_tokenizer_training(py::module_& m) {
  py::class_<WordCounts>(m, "WordCounts")
      .def(py::init<>())
      .def("add", &add_texts, "tokenizer"_a, "texts"_a)
      .def("__len__", &WordCounts::size);
  m.def("train_bpe", &learn_bpe, "counts"_a, "vocab_size"_a, "min_frequency"_a,
        "special_tokens"_a, "progress"_a);
  m.def("train_unigram", &learn_unigram, "counts"_a, "vocab_size"_a, "special_tokens"_a,
        "progress"_a);
  m.def("train_wordpiece", &learn_wordpiece, "counts"_a, "vocab_size"_a, "min_frequency"_a,
        "special_tokens"_a, "progress"_a);
}

}  // namespace lowbit::bindings
