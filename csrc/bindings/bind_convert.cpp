#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "ops/convert.hpp"

namespace lowbit::bindings {
namespace {

Array<float> to_float32(const Array<uint16_t>& words, const std::string& format) {
  Array<float> values = new_array({words.shape(), words.shape() + words.ndim()});
  const auto from = flat(words);
  const auto to = mutable_flat(values);
  released([&] { ops::to_float32(format, from, to); });
  return values;
}

Array<uint16_t> from_float32(const Array<float>& values, const std::string& format) {
  Array<uint16_t> words(std::vector<py::ssize_t>{values.shape(), values.shape() + values.ndim()});
  const auto from = flat(values);
  const auto to = mutable_flat(words);
  released([&] { ops::from_float32(format, from, to); });
  return words;
}

}  // namespace

void bind_convert(py::module_& m) {
  m.def("to_float32", &to_float32, "words"_a.noconvert(), "format"_a);
  m.def("from_float32", &from_float32, "values"_a.noconvert(), "format"_a);
}

}  // namespace lowbit::bindings
