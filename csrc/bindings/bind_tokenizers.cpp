#include <cstring>

#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "tokenizers/tokenizer.hpp"

namespace lowbit::bindings {
namespace {

using namespace tokenizers;

// The bytes of a str, owned by Python and valid as long as the object is.
std::string_view utf8(py::handle text, py::ssize_t index) {
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (data) return {data, static_cast<size_t>(size)};
  PyErr_Clear();
  check<py::type_error>(PyUnicode_Check(text.ptr()), "Tokenizer: texts[", index,
                        "] is not a string");
  throw ArgumentError(message("Tokenizer: texts[", index,
                              "] holds a lone surrogate, which is no character; decode the bytes "
                              "with errors=\"replace\""));
}

template <class T>
Array<T> to_array(const std::vector<T>& values) {
  Array<T> out(static_cast<py::ssize_t>(values.size()));
  if (!values.empty()) std::memcpy(out.mutable_data(), values.data(), values.size() * sizeof(T));
  return out;
}

std::unique_ptr<Tokenizer> make(const std::vector<std::string>& tokens,
                                const std::vector<int32_t>& ids, const py::dict& model,
                                const py::list& added, const py::dict& split) {
  VocabularyOptions options;
  options.model = py::cast<std::string>(model["model"]) == "wordpiece" ? WordModel::wordpiece
                                                                       : WordModel::whole_word;
  options.unknown_id = py::cast<int32_t>(model["unknown_id"]);
  options.continuing_prefix = py::cast<std::string>(model["continuing_prefix"]);
  options.max_characters = py::cast<int64_t>(model["max_characters"]);
  std::vector<AddedToken> special;
  for (const py::handle item : added) {
    const auto entry = py::cast<py::dict>(item);
    special.push_back({py::cast<std::string>(entry["content"]), py::cast<int32_t>(entry["id"]),
                       py::cast<bool>(entry["single_word"]), py::cast<bool>(entry["lstrip"]),
                       py::cast<bool>(entry["rstrip"])});
  }
  const auto flag = [&](const char* name) { return py::cast<bool>(split[name]); };
  const SplitOptions splitting{flag("characters"),     flag("normalize"),     flag("clean_text"),
                               flag("chinese_spaces"), flag("strip_accents"), flag("lowercase")};
  return std::make_unique<Tokenizer>(Vocabulary(tokens, ids, options),
                                     AddedTokens(std::move(special)), splitting);
}

py::tuple encode(const Tokenizer& tokenizer, const py::str& text) {
  const std::string_view view = utf8(text, 0);
  Located out;
  released([&] { out = tokenizer.encode(view); });
  return py::make_tuple(to_array(out.ids), to_array(out.begins), to_array(out.ends),
                        to_array(out.words));
}

py::tuple encode_batch(const Tokenizer& tokenizer, const py::list& texts,
                       const std::vector<int32_t>& before, const std::vector<int32_t>& after,
                       int64_t max_length, bool keep_end) {
  std::vector<std::string_view> views;
  views.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); ++i)
    views.push_back(utf8(PyList_GET_ITEM(texts.ptr(), static_cast<Py_ssize_t>(i)),
                         static_cast<py::ssize_t>(i)));
  Ragged out;
  released([&] { out = tokenizer.encode_batch(views, {before, after, max_length, keep_end}); });
  return py::make_tuple(to_array(out.ids), to_array(out.indptr));
}

}  // namespace

void bind_tokenizers(py::module_& m) {
  py::class_<Tokenizer>(m, "WordTokenizer")
      .def(py::init(&make), "tokens"_a, "ids"_a, "model"_a, "added"_a, "split"_a)
      .def("encode", &encode, "text"_a)
      .def(
          "split",
          [](const Tokenizer& tokenizer, const py::str& text) {
            return tokenizer.split(utf8(text, 0));
          },
          "text"_a)
      .def("encode_batch", &encode_batch, "texts"_a, "before"_a, "after"_a, "max_length"_a,
           "keep_end"_a);
}

}  // namespace lowbit::bindings
