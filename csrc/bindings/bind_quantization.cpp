#include <cstring>

#include "bindings/topics.hpp"
#include "bindings/weights.hpp"

namespace lowbit::bindings {
namespace {

using ops::PackedMatrix;

PackedMatrix quantize(const Array<float>& w, const std::string& format, int64_t group_size,
                      bool double_quant) {
  const auto view = matrix("quantize: w", w);
  py::gil_scoped_release release;
  return ops::quantize(view, format, group_size, double_quant);
}

PackedMatrix quantize_to(const Array<float>& w, const Array<float>& scales,
                         const std::string& format, int64_t group_size, bool double_quant) {
  const auto view = matrix("quantize_to: w", w);
  const auto chosen = matrix("quantize_to: scales", scales);
  py::gil_scoped_release release;
  return ops::quantize_to(view, chosen, format, group_size, double_quant);
}

Array<float> dequantize(const Weight& weight) {
  const WeightView w = view(weight);
  Array<float> out = new_matrix(w.rows, w.cols);
  const auto target = mutable_matrix("out", out);
  released([&] { ops::dequantize(w, target); });
  return out;
}

template <class T>
Array<T> copy_out(const T* data, int64_t count) {
  Array<T> out(count);
  if (count) std::memcpy(out.mutable_data(), data, static_cast<size_t>(count) * sizeof(T));
  return out;
}

// Everything needed to build the matrix again, for pickling and saving.
py::dict parts(const PackedMatrix& m) {
  py::dict d("format"_a = ops::format_info(m.format).name, "rows"_a = m.rows, "cols"_a = m.cols,
             "group_size"_a = m.group_size == m.cols ? 0 : m.group_size,
             "double_quant"_a = m.double_quant(),
             "lines"_a = copy_out(m.lines.get(), m.line_bytes));
  if (m.double_quant()) {
    d["scale_codes"] = copy_out(m.scale_codes.data(), std::ssize(m.scale_codes));
    d["scale_scales"] = copy_out(m.scale_scales.data(), std::ssize(m.scale_scales));
    d["scale_offset"] = m.scale_offset;
  } else {
    d["scales"] = copy_out(m.scales.data(), std::ssize(m.scales));
  }
  return d;
}

template <class T>
void copy_in(const py::dict& d, const char* key, T* to, int64_t count) {
  const auto array = py::cast<Array<T>>(d[key]);
  check(array.size() == count, "PackedMatrix.from_parts: ", key, " has ", array.size(),
        " values, expected ", count);
  if (count) std::memcpy(to, array.data(), static_cast<size_t>(count) * sizeof(T));
}

PackedMatrix from_parts(const py::dict& d) {
  PackedMatrix m = ops::allocate(
      "PackedMatrix.from_parts", py::cast<std::string>(d["format"]), py::cast<int64_t>(d["rows"]),
      py::cast<int64_t>(d["cols"]), py::cast<int64_t>(d["group_size"]),
      py::cast<bool>(d["double_quant"]));
  copy_in(d, "lines", m.lines.get(), m.line_bytes);
  if (m.double_quant()) {
    copy_in(d, "scale_codes", m.scale_codes.data(), std::ssize(m.scale_codes));
    copy_in(d, "scale_scales", m.scale_scales.data(), std::ssize(m.scale_scales));
    m.scale_offset = py::cast<float>(d["scale_offset"]);
  } else {
    copy_in(d, "scales", m.scales.data(), std::ssize(m.scales));
  }
  return m;
}

py::list formats() {
  py::list list;
  for (const ops::FormatInfo& info : ops::formats())
    list.append(py::dict("name"_a = info.name, "packed"_a = info.packed, "bits"_a = info.bits));
  return list;
}

}  // namespace

void bind_quantization(py::module_& m) {
  py::class_<PackedMatrix>(m, "PackedMatrix")
      .def_static("quantize", &quantize, "w"_a.noconvert(), "format"_a, "group_size"_a,
                  "double_quant"_a)
      .def_static("quantize_to", &quantize_to, "w"_a.noconvert(), "scales"_a.noconvert(),
                  "format"_a, "group_size"_a, "double_quant"_a)
      .def_static("from_parts", &from_parts, "parts"_a)
      .def("parts", &parts)
      .def_property_readonly(
          "shape", [](const PackedMatrix& p) { return py::make_tuple(p.rows, p.cols); })
      .def_property_readonly(
          "format", [](const PackedMatrix& p) { return ops::format_info(p.format).name; })
      .def_readonly("group_size", &PackedMatrix::group_size)
      .def_property_readonly("double_quant", &PackedMatrix::double_quant)
      .def_property_readonly("nbytes", &PackedMatrix::nbytes);
  m.def("dequantize", &dequantize, "weight"_a.noconvert());
  m.def("formats", &formats);
  m.def("dynamic_map", [] { return copy_out(ops::dynamic_map(), 256); });
}

}  // namespace lowbit::bindings
