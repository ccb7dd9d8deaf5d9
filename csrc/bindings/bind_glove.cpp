#include <algorithm>
#include <mutex>
#include <system_error>

#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "bindings/training_place.hpp"
#include "vectors/glove.hpp"

namespace lowbit::bindings {
namespace {

using namespace vectors;

// A counter and what it must outlive.
struct BoundCounter {
  std::shared_ptr<Corpus> corpus;
  PairTiles tiles;
  SpillFile file;
  CooccurrenceCounter counter;

  BoundCounter(std::shared_ptr<Corpus> text, int64_t bytes_of_word, const CountOptions& options,
               int descriptor)
      : corpus(std::move(text)),
        tiles(static_cast<int64_t>(corpus->words.size()), bytes_of_word),
        file(descriptor),
        counter(*corpus, tiles, options, file) {}
};

std::shared_ptr<BoundCounter> make_counter(std::shared_ptr<Corpus> corpus, int64_t bytes_of_word,
                                           int64_t window, bool symmetric, bool weighted,
                                           int64_t memory, int descriptor) {
  const CountOptions options{window, symmetric, weighted, memory};
  return std::make_shared<BoundCounter>(std::move(corpus), bytes_of_word, options, descriptor);
}

struct CountedPair {
  int32_t row, column;
  double count;
};

// All pairs, in the order of their rows and columns.
py::tuple counted_pairs(BoundCounter& bound) {
  std::vector<CountedPair> all;
  released([&] {
    std::mutex mutex;
    bound.counter.for_tiles([&](int64_t, int64_t, const CooccurrenceCounter::Counts& counts) {
      const std::lock_guard lock(mutex);
      for (const auto& tile : counts)
        for (const PairCount& one : tile)
          all.push_back({one.row(), one.column(), static_cast<double>(one.count) * kCountUnit});
    });
    std::sort(all.begin(), all.end(), [](const CountedPair& a, const CountedPair& b) {
      return a.row != b.row ? a.row < b.row : a.column < b.column;
    });
  });
  const auto size = static_cast<py::ssize_t>(all.size());
  Array<int32_t> rows(size), columns(size);
  Array<double> counts(size);
  for (py::ssize_t i = 0; i < size; ++i) {
    const CountedPair& one = all[static_cast<size_t>(i)];
    rows.mutable_at(i) = one.row, columns.mutable_at(i) = one.column;
    counts.mutable_at(i) = one.count;
  }
  return py::make_tuple(rows, columns, counts);
}

struct BoundGlove {
  std::shared_ptr<BoundCounter> counter;
  Array<float> table;  // kept alive
  std::unique_ptr<GlovePairs> pairs;
  std::unique_ptr<GloveTrainer> trainer;
};

std::unique_ptr<BoundGlove> make_glove(std::shared_ptr<BoundCounter> counter, Array<float> table,
                                       const GloveOptions& options) {
  auto bound = std::make_unique<BoundGlove>();
  bound->counter = std::move(counter), bound->table = std::move(table);
  const auto view = mutable_matrix("WordVectors.train: table", bound->table);
  check(view.rows == static_cast<int64_t>(bound->counter->corpus->words.size()),
        "GloveTrainer: the table has ", view.rows, " rows, the corpus ",
        bound->counter->corpus->words.size(), " words");
  released([&] {
    bound->pairs =
        std::make_unique<GlovePairs>(bound->counter->counter, options, bound->counter->file);
    bound->trainer = std::make_unique<GloveTrainer>(*bound->pairs, options, view);
  });
  return bound;
}

py::tuple run_glove(BoundGlove& bound, int64_t epoch, int64_t begin, int64_t end) {
  Passed done;
  released([&] { done = bound.trainer->run(epoch, begin, end); });
  return py::make_tuple(done.words, done.loss, done.pairs);
}

void translate_system_error(std::exception_ptr pointer) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const std::system_error& error) {
    const py::object made =
        py::reinterpret_borrow<py::object>(PyExc_OSError)(error.code().value(), error.what());
    PyErr_SetObject(PyExc_OSError, made.ptr());
  }
}

}  // namespace

void bind_glove(py::module_& m) {
  py::register_exception_translator(&translate_system_error);
  py::class_<BoundCounter, std::shared_ptr<BoundCounter>>(m, "CooccurrenceCounter")
      .def(py::init(&make_counter), "corpus"_a, "bytes_of_word"_a, "window"_a, "symmetric"_a,
           "weighted"_a, "memory"_a, "descriptor"_a)
      .def("run",
           [](BoundCounter& bound, int64_t begin, int64_t end) {
             released([&] { bound.counter.run(begin, end); });
           },
           "begin"_a, "end"_a)
      .def("finish",
           [](BoundCounter& bound) { released([&] { bound.counter.finish(); }); })
      .def("pairs", &counted_pairs)
      .def_property_readonly("chunks", [](const BoundCounter& b) { return b.counter.chunks(); })
      .def_property_readonly("spilled", [](const BoundCounter& b) { return b.counter.spilled(); });
  py::class_<BoundGlove>(m, "GloveTrainer")
      .def(py::init([](std::shared_ptr<BoundCounter> counter, Array<float> table, int64_t dim,
                       double lr, double x_max, double alpha, double grad_clip, bool plain_biases,
                       uint64_t seed) {
             const GloveOptions options{dim, lr, x_max, alpha, grad_clip, plain_biases, seed};
             return make_glove(std::move(counter), std::move(table), options);
           }),
           "counter"_a, "table"_a.noconvert(), "dim"_a, "lr"_a, "x_max"_a, "alpha"_a,
           "grad_clip"_a, "plain_biases"_a, "seed"_a)
      .def("run", &run_glove, "epoch"_a, "begin"_a, "end"_a)
      .def_property_readonly("place",
                             [](const BoundGlove& b) { return to_python(b.trainer->place()); })
      .def("go_to",
           [](BoundGlove& bound, int64_t epoch, int64_t chunk) {
             bound.trainer->go_to({epoch, chunk});
           },
           "epoch"_a, "chunk"_a)
      .def("words_before",
           [](BoundGlove& bound, int64_t chunk) { return bound.trainer->steps_before(chunk); },
           "chunk"_a)
      .def_property_readonly("chunks", [](const BoundGlove& b) { return b.trainer->rounds(); })
      .def_property_readonly("steps", [](const BoundGlove& b) { return b.pairs->steps(); })
      .def_property_readonly("in_file", [](const BoundGlove& b) { return b.pairs->in_file(); });
}

}  // namespace lowbit::bindings
