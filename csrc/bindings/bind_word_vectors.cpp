#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "vectors/start.hpp"
#include "vectors/trainer.hpp"

namespace lowbit::bindings {
namespace {

using namespace vectors;

// A corpus is used by the trainer and by Python.
using SharedCorpus = std::shared_ptr<Corpus>;

void add_sentences(CorpusBuilder& builder, const std::vector<std::vector<std::string>>& sentences) {
  for (const auto& sentence : sentences) {
    for (const std::string& word : sentence) builder.add_word(word);
    builder.end_sentence();
  }
}

struct BoundTrainer {
  SharedCorpus corpus;
  Array<float> input, output;  // kept alive
  Trainer trainer;

  BoundTrainer(SharedCorpus text, Array<float> in, Array<float> out, const TrainerOptions& options)
      : corpus(std::move(text)),
        input(std::move(in)),
        output(std::move(out)),
        trainer(*corpus, options, mutable_matrix("WordVectors.train: input", input),
                mutable_matrix("WordVectors.train: output", output)) {}
};

std::unique_ptr<BoundTrainer> make_trainer(SharedCorpus corpus, Array<float> input,
                                           Array<float> output, const std::string& method,
                                           int64_t window, int64_t negative, double sample,
                                           double exponent, uint64_t seed, bool mean_gradient,
                                           bool deterministic, int64_t epochs, double lr,
                                           double min_lr) {
  TrainerOptions options;
  options.method = method == "cbow" ? Method::cbow : Method::skipgram;
  options.examples = {window, negative, sample, exponent, seed};
  options.mean_gradient = mean_gradient;
  options.deterministic = deterministic;
  options.epochs = epochs, options.lr = lr, options.min_lr = min_lr;
  return std::make_unique<BoundTrainer>(std::move(corpus), std::move(input), std::move(output),
                                        options);
}

py::tuple run(BoundTrainer& bound, int64_t epoch, int64_t begin, int64_t end) {
  Passed done;
  released([&] { done = bound.trainer.run(epoch, begin, end); });
  return py::make_tuple(done.words, done.loss, done.pairs);
}

void start(Array<float>& table, int64_t dim, uint64_t seed, int64_t row_begin) {
  const auto view = mutable_matrix("WordVectors.train: table", table);
  released([&] { start_vectors(view, dim, seed, row_begin); });
}

}  // namespace

void bind_word_vectors(py::module_& m) {
  py::class_<Corpus, SharedCorpus>(m, "WordCorpus")
      .def_property_readonly("words",
                             [](const Corpus& corpus) {
                               py::list words;
                               for (const std::string& word : corpus.words)
                                 words.append(py::bytes(word));
                               return words;
                             })
      .def_property_readonly("counts",
                             [](const Corpus& corpus) {
                               return Array<int64_t>(
                                   static_cast<py::ssize_t>(corpus.counts.size()),
                                   corpus.counts.data());
                             })
      .def_property_readonly("tokens",
                             [](const Corpus& corpus) {
                               return Array<int32_t>(
                                   static_cast<py::ssize_t>(corpus.tokens.size()),
                                   corpus.tokens.data());
                             })
      .def_property_readonly("sentence_begin",
                             [](const Corpus& corpus) {
                               return Array<int64_t>(
                                   static_cast<py::ssize_t>(corpus.sentence_begin.size()),
                                   corpus.sentence_begin.data());
                             })
      .def_readonly("raw_words", &Corpus::raw_words);
  py::class_<CorpusBuilder>(m, "WordCorpusBuilder")
      .def(py::init<>())
      .def("add_lines",
           [](CorpusBuilder& builder, const py::bytes& text) {
             const auto view = static_cast<std::string_view>(text);
             released([&] { builder.add_lines(view); });
           },
           "text"_a)
      .def("add_sentences", &add_sentences, "sentences"_a)
      .def("build",
           [](CorpusBuilder& builder, int64_t min_count, int64_t max_words) {
             SharedCorpus corpus;
             released([&] {
               corpus = std::make_shared<Corpus>(builder.build(min_count, max_words));
             });
             return corpus;
           },
           "min_count"_a, "max_words"_a);
  m.def("start_vectors", &start, "table"_a.noconvert(), "dim"_a, "seed"_a, "row_begin"_a = 0);
  py::class_<BoundTrainer>(m, "WordTrainer")
      .def(py::init(&make_trainer), "corpus"_a, "input"_a.noconvert(), "output"_a.noconvert(),
           "method"_a, "window"_a, "negative"_a, "sample"_a, "exponent"_a, "seed"_a,
           "mean_gradient"_a, "deterministic"_a, "epochs"_a, "lr"_a, "min_lr"_a)
      .def_property_readonly("chunks",
                             [](const BoundTrainer& bound) { return bound.trainer.chunks(); })
      .def("run", &run, "epoch"_a, "begin"_a, "end"_a);
}

}  // namespace lowbit::bindings
