#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "bindings/training_place.hpp"
#include "ops/dispatch.hpp"
#include "vectors/start.hpp"
#include "vectors/trainer.hpp"

namespace lowbit::bindings {
namespace {

using namespace vectors;

// What the trainer uses and Python, too.
using SharedCorpus = std::shared_ptr<Corpus>;
using SharedSubwords = std::shared_ptr<Subwords>;
using SharedTree = std::shared_ptr<WordTree>;

template <class T>
Array<T> copied(const std::vector<T>& values) {
  return Array<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

Array<int32_t> ngram_buckets(const std::string& word, int64_t shortest, int64_t longest,
                             int64_t buckets) {
  check(buckets >= 1, "ngram_buckets: buckets=", buckets, " must be at least 1");
  std::vector<int32_t> found;
  add_ngrams(word, {shortest, longest, buckets}, found);
  return copied(found);
}

void add_sentences(CorpusBuilder& builder, const std::vector<std::vector<std::string>>& sentences) {
  for (const auto& sentence : sentences) {
    for (const std::string& word : sentence) builder.add_word(word);
    builder.end_sentence();
  }
}

Array<int32_t> nodes(const WordTree& tree, int32_t word, bool ones) {
  check(word >= 0 && word < tree.words(), "WordTree: word ", word, " of ", tree.words());
  const auto found = ones ? tree.ones(word) : tree.zeros(word);
  return Array<int32_t>(static_cast<py::ssize_t>(found.size()), found.data());
}

struct BoundTrainer {
  SharedCorpus corpus;
  SharedSubwords subwords;     // or null
  SharedTree tree;             // or null
  Array<float> input, output;  // kept alive
  Trainer trainer;

  BoundTrainer(SharedCorpus text, SharedSubwords ngrams, SharedTree paths, Array<float> in,
               Array<float> out, const TrainerOptions& options)
      : corpus(std::move(text)),
        subwords(std::move(ngrams)),
        tree(std::move(paths)),
        input(std::move(in)),
        output(std::move(out)),
        trainer(*corpus, subwords.get(), tree.get(), options,
                mutable_matrix("WordVectors.train: input", input),
                mutable_matrix("WordVectors.train: output", output)) {}
};

std::unique_ptr<BoundTrainer> make_trainer(SharedCorpus corpus, SharedSubwords subwords,
                                           Array<float> input, Array<float> output,
                                           const std::string& method, int64_t window,
                                           int64_t negative, double sample, double exponent,
                                           uint64_t seed, bool mean_gradient, bool deterministic,
                                           int64_t epochs, double lr, double min_lr,
                                           SharedTree tree) {
  TrainerOptions options;
  options.method = method == "skipgram" ? Method::skipgram : Method::bags;
  check((method == "fasttext" || method == "fasttext_cbow") == bool(subwords),
        "WordTrainer: fasttext needs subwords, the others have none");
  options.examples = {window, negative, sample, exponent, seed, method == "fasttext"};
  options.mean_gradient = mean_gradient;
  options.deterministic = deterministic;
  options.epochs = epochs, options.lr = lr, options.min_lr = min_lr;
  return std::make_unique<BoundTrainer>(std::move(corpus), std::move(subwords), std::move(tree),
                                        std::move(input), std::move(output), options);
}

py::tuple run(BoundTrainer& bound, int64_t epoch, int64_t begin, int64_t end) {
  Passed done;
  released([&] { done = bound.trainer.run(epoch, begin, end); });
  return py::make_tuple(done.words, done.loss, done.pairs);
}

// For tests: a thread's copies of rows, which it trains on.
struct BoundOwnRows {
  Array<float> table;  // kept alive
  OwnRows own;

  BoundOwnRows(Array<float> values, int64_t count, bool rising)
      : table(std::move(values)),
        own(mutable_matrix("OwnRows: table", table), checked_count(count), rising) {}

  static int64_t checked_count(int64_t count) {
    check(count >= 0, "OwnRows: count=", count, " must not be negative");
    return count;
  }
  void add(int32_t id, float value) {
    check(id >= 0 && id < table.shape(0), "OwnRows.add: row ", id, " of ", table.shape(0));
    float* row = own.rows().row(id);
    for (py::ssize_t c = 0; c < table.shape(1); ++c) row[c] += value;
  }
  void note(const Array<int32_t>& ids) {
    own.note({ids.data(), static_cast<size_t>(ids.size())});
  }
  void exchange(int64_t count, float often, float share) {
    const ops::Trace trace("exchange_rows", checked_count(count));
    own.exchange(count, often, share);
  }
};

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
      .def_property_readonly("counts", [](const Corpus& c) { return copied(c.counts); })
      .def_property_readonly("tokens", [](const Corpus& c) { return copied(c.tokens); })
      .def_property_readonly("sentence_begin",
                             [](const Corpus& c) { return copied(c.sentence_begin); })
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
           [](CorpusBuilder& builder, int64_t min_count, int64_t max_words,
              const std::vector<std::string>& first) {
             SharedCorpus corpus;
             released([&] {
               corpus = std::make_shared<Corpus>(builder.build(min_count, max_words, first));
             });
             return corpus;
           },
           "min_count"_a, "max_words"_a, "first"_a = std::vector<std::string>());
  py::class_<Subwords, SharedSubwords>(m, "WordSubwords")
      .def(py::init([](const std::vector<std::string>& words, int64_t shortest, int64_t longest,
                       int64_t buckets) {
             return std::make_shared<Subwords>(words, SubwordOptions{shortest, longest, buckets});
           }),
           "words"_a, "shortest"_a, "longest"_a, "buckets"_a)
      .def_property_readonly("rows", [](const Subwords& s) { return copied(s.all_rows()); })
      .def_property_readonly("begin", [](const Subwords& s) { return copied(s.begin()); })
      .def_property_readonly("buckets", [](const Subwords& s) { return copied(s.buckets()); });
  py::class_<WordTree, SharedTree>(m, "WordTree")
      .def(py::init([](const Array<int64_t>& counts) {
             return std::make_shared<WordTree>(
                 std::vector<int64_t>(counts.data(), counts.data() + counts.size()));
           }),
           "counts"_a)
      .def("ones", [](const WordTree& tree, int32_t word) { return nodes(tree, word, true); })
      .def("zeros", [](const WordTree& tree, int32_t word) { return nodes(tree, word, false); });
  m.def("ngram_buckets", &ngram_buckets, "word"_a, "shortest"_a, "longest"_a, "buckets"_a);
  m.def("start_vectors", &start, "table"_a.noconvert(), "dim"_a, "seed"_a, "row_begin"_a = 0);
  py::class_<BoundTrainer>(m, "WordTrainer")
      .def(py::init(&make_trainer), "corpus"_a, "subwords"_a, "input"_a.noconvert(),
           "output"_a.noconvert(),
           "method"_a, "window"_a, "negative"_a, "sample"_a, "exponent"_a, "seed"_a,
           "mean_gradient"_a, "deterministic"_a, "epochs"_a, "lr"_a, "min_lr"_a,
           "tree"_a = SharedTree())
      .def_property_readonly("chunks",
                             [](const BoundTrainer& bound) { return bound.trainer.chunks(); })
      .def_property_readonly("place",
                             [](const BoundTrainer& b) { return to_python(b.trainer.place()); })
      .def("go_to",
           [](BoundTrainer& bound, int64_t epoch, int64_t chunk) {
             bound.trainer.go_to({epoch, chunk});
           },
           "epoch"_a, "chunk"_a)
      .def("words_before",
           [](const BoundTrainer& bound, int64_t chunk) {
             return bound.trainer.words_before(chunk);
           },
           "chunk"_a)
      .def_property_readonly("own_rows",
                             [](const BoundTrainer& bound) { return bound.trainer.own_rows(); })
      .def("run", &run, "epoch"_a, "begin"_a, "end"_a);
  py::class_<BoundOwnRows>(m, "OwnRows")
      .def(py::init<Array<float>, int64_t, bool>(), "table"_a.noconvert(), "count"_a, "rising"_a)
      .def("add", &BoundOwnRows::add, "row"_a, "value"_a)
      .def("note", &BoundOwnRows::note, "ids"_a)
      .def("exchange", &BoundOwnRows::exchange, "count"_a, "often"_a, "share"_a);
}

}  // namespace lowbit::bindings
