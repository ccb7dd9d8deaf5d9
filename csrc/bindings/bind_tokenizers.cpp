#include <cstring>

#include "bindings/numpy.hpp"
#include "bindings/tokenizer_parts.hpp"
#include "bindings/topics.hpp"
#include "tokenizers/tokenizer.hpp"

namespace lowbit::bindings {
namespace {

using namespace tokenizers;

std::string_view text_of(py::handle text, py::ssize_t index = 0) {
  if (const auto bytes = utf8(text)) return *bytes;
  check<py::type_error>(PyUnicode_Check(text.ptr()), "Tokenizer: texts[", index,
                        "] is not a string");
  throw ArgumentError(message("Tokenizer: texts[", index,
                              "] holds a lone surrogate, which is no character; decode the bytes "
                              "with errors=\"replace\""));
}

Pipeline::Steps make_steps(const py::list& steps,
                           std::unique_ptr<const Step> (*make)(const py::dict&)) {
  Pipeline::Steps out;
  for (const py::handle step : steps) out.push_back(make(py::cast<py::dict>(step)));
  return out;
}

std::vector<AddedToken> read_added(const py::list& added) {
  std::vector<AddedToken> tokens;
  for (const py::handle item : added) {
    const auto entry = py::cast<py::dict>(item);
    tokens.push_back({option<std::string>(entry, "content"), option<int32_t>(entry, "id"),
                      option<bool>(entry, "single_word"), option<bool>(entry, "lstrip"),
                      option<bool>(entry, "rstrip"), option<bool>(entry, "special"),
                      option<bool>(entry, "normalized")});
  }
  return tokens;
}

// True: all special tokens; False: none; or the ids of those that are read.
Specials read_specials(const py::object& specials) {
  if (py::isinstance<py::bool_>(specials)) return {py::cast<bool>(specials), {}};
  return {false, py::cast<std::vector<int32_t>>(specials)};
}

// None, or the fields of a Sampling.
std::optional<Sampling> read_sampling(const py::object& sampling) {
  if (sampling.is_none()) return {};
  const auto given = py::cast<py::dict>(sampling);
  return Sampling{option<float>(given, "dropout"), option<double>(given, "alpha"),
                  option<int64_t>(given, "nbest_size"), option<uint64_t>(given, "seed"),
                  option<uint64_t>(given, "side")};
}

std::vector<std::string_view> read_texts(const py::list& texts) {
  std::vector<std::string_view> views;
  views.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); ++i)
    views.push_back(text_of(PyList_GET_ITEM(texts.ptr(), static_cast<Py_ssize_t>(i)),
                            static_cast<py::ssize_t>(i)));
  return views;
}

std::unique_ptr<Tokenizer> make(const py::dict& model, const py::list& normalizers,
                                const py::list& pre_tokenizers, const py::object& cut,
                                const std::string& raw_cut, const py::list& added,
                                int32_t unknown) {
  Pipeline pipeline{make_steps(normalizers, make_normalizer),
                    make_steps(pre_tokenizers, make_pre_tokenizer), nullptr};
  if (!cut.is_none()) pipeline.cut = make_pre_tokenizer(py::cast<py::dict>(cut));
  for (const py::handle step : normalizers)
    if (option<std::string>(py::cast<py::dict>(step), "type") == "SentencePiece")
      pipeline.normalizes_added = false;
  pipeline.unknown = unknown;
  if (raw_cut == "punctuation") pipeline.raw_cut = RawCut::punctuation;
  if (raw_cut == "sentencepiece") pipeline.raw_cut = RawCut::sentencepiece;
  if (raw_cut == "spaces") pipeline.raw_cut = RawCut::spaces;
  return std::make_unique<Tokenizer>(make_model(model), read_added(added), std::move(pipeline));
}

py::tuple encode(const Tokenizer& tokenizer, const py::str& text, const py::object& special,
                 const py::object& sampling) {
  const std::string_view view = text_of(text);
  const Specials specials = read_specials(special);
  const std::optional<Sampling> drawn = read_sampling(sampling);
  Located out;
  released([&] { out = tokenizer.encode(view, specials, drawn ? &*drawn : nullptr); });
  return py::make_tuple(to_array(out.ids), to_array(out.begins), to_array(out.ends),
                        to_array(out.words), py::cast(out.spelled));
}

py::list nbest(const Tokenizer& tokenizer, const py::str& text, const py::object& special,
               int64_t count) {
  const std::string_view view = text_of(text);
  const Specials specials = read_specials(special);
  std::vector<RankedIds> ranked;
  released([&] { ranked = tokenizer.nbest(view, specials, count); });
  py::list out;
  for (const RankedIds& one : ranked) out.append(py::make_tuple(to_array(one.ids), one.score));
  return out;
}

// Short texts take less time than other threads would need to notice.
constexpr size_t kReleaseFrom = 1024;

Array<int32_t> encode_ids(const Tokenizer& tokenizer, const py::str& text, bool special,
                          const Maybe<int32_t>& before, const Maybe<int32_t>& after) {
  const std::string_view view = text_of(text);
  const auto around = [](const Maybe<int32_t>& ids) {
    return ids ? std::span(ids->data(), static_cast<size_t>(ids->size()))
               : std::span<const int32_t>();
  };
  std::span<const int32_t> ids;
  const auto encode = [&] {
    ids = tokenizer.encode_ids(view, {special, {}}, around(before), around(after));
  };
  if (view.size() < kReleaseFrom)
    encode();
  else
    released(encode);
  Array<int32_t> out(static_cast<py::ssize_t>(ids.size()));
  if (!ids.empty()) std::memcpy(out.mutable_data(), ids.data(), ids.size_bytes());
  return out;
}

py::tuple encode_batch(const Tokenizer& tokenizer, const py::list& texts,
                       const std::vector<int32_t>& before, const std::vector<int32_t>& after,
                       int64_t max_length, bool keep_end, const py::object& special,
                       int max_threads, const py::object& sampling) {
  const std::vector<std::string_view> views = read_texts(texts);
  const Frame frame{before,      after, max_length, keep_end, read_specials(special),
                    max_threads, read_sampling(sampling)};
  Ragged out;
  released([&] { out = tokenizer.encode_batch(views, frame); });
  return py::make_tuple(adopt(std::move(out.ids), {out.indptr.back()}), to_array(out.indptr));
}

Array<int64_t> count_batch(const Tokenizer& tokenizer, const py::list& texts,
                           const py::object& special, int max_threads) {
  const std::vector<std::string_view> views = read_texts(texts);
  Frame frame;
  frame.specials = read_specials(special);
  frame.max_threads = max_threads;
  std::vector<int64_t> counts;
  released([&] { counts = tokenizer.count_batch(views, frame); });
  return to_array(counts);
}

std::unique_ptr<Decoder> make_decoder(const std::vector<std::string>& tokens,
                                      const std::vector<int32_t>& ids,
                                      const std::vector<bool>& special, const py::list& steps) {
  std::vector<decoders::StepPointer> made;
  for (const py::handle step : steps) made.push_back(make_decode_step(py::cast<py::dict>(step)));
  return std::make_unique<Decoder>(tokens, ids, special, std::move(made));
}

py::str decode(const Decoder& decoder, const Array<int32_t>& ids, bool skip_special) {
  std::string text;
  const int32_t* data = ids.data();
  const int64_t count = ids.size();
  released([&] { text = decoder.decode(data, count, skip_special); });
  PyObject* made =
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (!made) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(made);
}

}  // namespace

void bind_tokenizers(py::module_& m) {
  py::class_<Tokenizer>(m, "Tokenizer")
      .def(py::init(&make), "model"_a, "normalizers"_a, "pre_tokenizers"_a, "cut"_a, "raw_cut"_a,
           "added"_a, "unknown"_a)
      .def("encode", &encode, "text"_a, "special"_a, "sampling"_a = py::none())
      .def("nbest", &nbest, "text"_a, "special"_a, "count"_a)
      .def(
          "normalize",
          [](const Tokenizer& tokenizer, const py::str& text) {
            return tokenizer.normalize(text_of(text));
          },
          "text"_a)
      .def(
          "split",
          [](const Tokenizer& tokenizer, const py::str& text) {
            return tokenizer.split(text_of(text));
          },
          "text"_a)
      .def(
          "count",
          [](const Tokenizer& tokenizer, const py::str& text, const py::object& special) {
            const std::string_view view = text_of(text);
            const Specials specials = read_specials(special);
            const py::gil_scoped_release release;
            return tokenizer.count_ids(view, specials);
          },
          "text"_a, "special"_a)
      .def("encode_ids", &encode_ids, "text"_a, "special"_a, "before"_a, "after"_a)
      .def("encode_batch", &encode_batch, "texts"_a, "before"_a, "after"_a, "max_length"_a,
           "keep_end"_a, "special"_a, "max_threads"_a, "sampling"_a = py::none())
      .def("count_batch", &count_batch, "texts"_a, "special"_a, "max_threads"_a)
      .def(
          "with_added",
          [](const Tokenizer& tokenizer, const py::list& added) {
            return tokenizer.with_added(read_added(added));
          },
          "added"_a);
  py::class_<Decoder>(m, "Decoder")
      .def(py::init(&make_decoder), "tokens"_a, "ids"_a, "special"_a, "steps"_a)
      .def("decode", &decode, "ids"_a, "skip_special"_a);
}

}  // namespace lowbit::bindings
