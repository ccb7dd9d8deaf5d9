#include <cstring>

#include "bindings/topics.hpp"
#include "bindings/weights.hpp"
#include "ops/scales.hpp"

namespace lowbit::bindings {
namespace {

using ops::PackedMatrix;

PackedMatrix quantize(const Array<float>& w, const std::string& format, int64_t group_size,
                      bool double_quant, const std::string& scale_dtype, bool symmetric) {
  const auto view = matrix("quantize: w", w);
  py::gil_scoped_release release;
  return ops::quantize(view, {format, group_size, double_quant, scale_dtype, symmetric});
}

PackedMatrix quantize_to(const Array<float>& w, const Array<float>& scales,
                         const std::string& format, int64_t group_size, bool double_quant,
                         const std::string& scale_dtype, const Maybe<int32_t>& zero_points) {
  const auto view = matrix("quantize_to: w", w);
  const auto chosen = matrix("quantize_to: scales", scales);
  const auto zeros = matrix("quantize_to: zero_points", zero_points);
  py::gil_scoped_release release;
  return ops::quantize_to(view, chosen, zeros,
                          {format, group_size, double_quant, scale_dtype, !zero_points});
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

// Calls use(pointer) for the stored scales as numbers of their type.
template <class Bytes, class Use>
auto as_numbers(ScaleType type, Bytes* bytes, Use&& use) {
  const auto numbers = [&]<class T>() {
    using Number = std::conditional_t<std::is_const_v<Bytes>, const T, T>;
    return use(reinterpret_cast<Number*>(bytes));
  };
  switch (type) {
    case ScaleType::fp32: return numbers.template operator()<float>();
    case ScaleType::fp16: return numbers.template operator()<Half>();
    case ScaleType::bf16: return numbers.template operator()<uint16_t>();
    default: return numbers.template operator()<uint8_t>();
  }
}

// Everything needed to build the matrix again, for pickling and saving. What is as it was before
// there was a choice is not said.
py::dict parts(const PackedMatrix& m) {
  const int64_t group_size = m.per_tensor ? ops::kWholeTensor
                             : m.group_size == m.cols ? 0 : m.group_size;
  py::dict d("format"_a = ops::format_info(m.format).name, "rows"_a = m.rows, "cols"_a = m.cols,
             "group_size"_a = group_size, "double_quant"_a = m.double_quant(),
             "lines"_a = copy_out(m.lines.get(), m.line_bytes));
  d[m.double_quant() ? "scale_codes" : "scales"] =
      as_numbers(m.scale_type, m.scales.data(), [&](const auto* numbers) -> py::object {
        return copy_out(numbers, m.scale_count());
      });
  if (m.double_quant()) {
    d["scale_scales"] = copy_out(m.scale_scales.data(), std::ssize(m.scale_scales));
    d["scale_offset"] = m.scale_offset;
  } else if (m.scale_type != ScaleType::fp32) {
    d["scale_dtype"] = ops::scale_type_name(m.scale_type);
  }
  if (!m.symmetric) d["zero_points"] = copy_out(m.zeros.data(), std::ssize(m.zeros));
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
  const bool symmetric = !d.contains("zero_points");
  const ops::Storage storage{
      py::cast<std::string>(d["format"]), py::cast<int64_t>(d["group_size"]),
      py::cast<bool>(d["double_quant"]),
      d.contains("scale_dtype") ? py::cast<std::string>(d["scale_dtype"]) : "", symmetric};
  PackedMatrix m = ops::allocate("PackedMatrix.from_parts", storage, py::cast<int64_t>(d["rows"]),
                                 py::cast<int64_t>(d["cols"]));
  copy_in(d, "lines", m.lines.get(), m.line_bytes);
  as_numbers(m.scale_type, m.scales.data(), [&](auto* numbers) {
    copy_in(d, m.double_quant() ? "scale_codes" : "scales", numbers, m.scale_count());
  });
  if (m.double_quant()) {
    copy_in(d, "scale_scales", m.scale_scales.data(), std::ssize(m.scale_scales));
    m.scale_offset = py::cast<float>(d["scale_offset"]);
  }
  if (symmetric) return m;
  copy_in(d, "zero_points", m.zeros.data(), std::ssize(m.zeros));
  const ops::FormatInfo& info = ops::format_info(m.format);
  for (const int8_t zero : m.zeros)
    check(info.least_code <= zero + info.zero_code && zero + info.zero_code <= info.most_code,
          "PackedMatrix.from_parts: a zero point is no code of ", info.name);
  return m;
}

py::list formats() {
  py::list list;
  for (const ops::FormatInfo& info : ops::formats())
    list.append(py::dict("name"_a = info.name, "packed"_a = info.packed, "bits"_a = info.bits,
                         "zero_points"_a = info.zero_points, "zero_code"_a = info.zero_code));
  return list;
}

}  // namespace

void bind_quantization(py::module_& m) {
  py::class_<PackedMatrix>(m, "PackedMatrix")
      .def_static("quantize", &quantize, "w"_a.noconvert(), "format"_a, "group_size"_a,
                  "double_quant"_a, "scale_dtype"_a = "", "symmetric"_a = true)
      .def_static("quantize_to", &quantize_to, "w"_a.noconvert(), "scales"_a.noconvert(),
                  "format"_a, "group_size"_a, "double_quant"_a, "scale_dtype"_a = "",
                  "zero_points"_a.noconvert() = py::none())
      .def_static("from_parts", &from_parts, "parts"_a)
      .def("parts", &parts)
      .def_property_readonly(
          "shape", [](const PackedMatrix& p) { return py::make_tuple(p.rows, p.cols); })
      .def_property_readonly(
          "format", [](const PackedMatrix& p) { return ops::format_info(p.format).name; })
      .def_readonly("group_size", &PackedMatrix::group_size)
      .def_readonly("per_tensor", &PackedMatrix::per_tensor)
      .def_readonly("symmetric", &PackedMatrix::symmetric)
      .def_property_readonly("double_quant", &PackedMatrix::double_quant)
      .def_property_readonly(
          "scale_dtype", [](const PackedMatrix& p) { return ops::scale_type_name(p.scale_type); })
      .def_property_readonly("nbytes", &PackedMatrix::nbytes);
  m.def("dequantize", &dequantize, "weight"_a.noconvert());
  m.def("formats", &formats);
  m.def("dynamic_map", [] { return copy_out(ops::dynamic_map(), 256); });
}

}  // namespace lowbit::bindings
