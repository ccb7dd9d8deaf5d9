// Parts of a tokenizer from their descriptions in Python: {"type": name, option: value, ...}.
#pragma once

#include <cstring>
#include <optional>
#include <string_view>

#include "bindings/numpy.hpp"
#include "tokenizers/decoder.hpp"
#include "tokenizers/model.hpp"
#include "tokenizers/text.hpp"

namespace lowbit::bindings {

std::unique_ptr<const tokenizers::Step> make_normalizer(const py::dict& step);
std::unique_ptr<const tokenizers::Step> make_pre_tokenizer(const py::dict& step);
std::unique_ptr<const tokenizers::DecodeStep> make_decode_step(const py::dict& step);
std::shared_ptr<const tokenizers::Model> make_model(const py::dict& model);

// The bytes of a str, owned by Python and valid as long as the object is; nothing for another
// object, and for a str with a lone surrogate.
inline std::optional<std::string_view> utf8(py::handle text) {
  Py_ssize_t size = 0;
  const char* data =
      PyUnicode_Check(text.ptr()) ? PyUnicode_AsUTF8AndSize(text.ptr(), &size) : nullptr;
  if (data) return std::string_view(data, static_cast<size_t>(size));
  PyErr_Clear();
  return {};
}

template <class T>
Array<T> to_array(const std::vector<T>& values) {
  Array<T> out(static_cast<py::ssize_t>(values.size()));
  if (!values.empty()) std::memcpy(out.mutable_data(), values.data(), values.size() * sizeof(T));
  return out;
}

template <class T>
T option(const py::dict& options, const char* name) {
  return py::cast<T>(options[name]);
}

}  // namespace lowbit::bindings
