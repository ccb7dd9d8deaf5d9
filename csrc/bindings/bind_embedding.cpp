#include <variant>

#include "bindings/numpy.hpp"
#include "bindings/row_ids.hpp"
#include "bindings/topics.hpp"
#include "ops/embedding.hpp"
#include "ops/int4_rows.hpp"
#include "ops/packed_matrix.hpp"

namespace lowbit::bindings {
namespace {

// A packed matrix, int4 row by row, or rows of float32, float16, bfloat16 as uint16, or int8 with a
// scale each.
using Table = std::variant<const ops::PackedMatrix*, const ops::Int4Rows*, Array<float>,
                           Array<uint16_t>, Array<Half>, Array<int8_t>>;

template <class T>
TableView table_of(const Array<T>& array, Format format, const Maybe<float>& scales) {
  const auto m = matrix("embed: table", array);
  TableView t{format, m.rows, m.cols, m.data};
  if (format == Format::int8) {
    check(scales.has_value() && scales->size() == m.rows, "embed: an int8 table of ", m.rows,
          " rows needs as many scales");
    t.scales = scales->data();
  }
  return t;
}

TableView table_view(const Table& table, const Maybe<float>& scales) {
  if (const auto* packed = std::get_if<const ops::PackedMatrix*>(&table)) {
    const WeightView w = (*packed)->view();
    return {w.format, w.rows, w.cols, nullptr, nullptr, w};
  }
  if (const auto* rows = std::get_if<const ops::Int4Rows*>(&table)) return (*rows)->view();
  if (const auto* floats = std::get_if<Array<float>>(&table))
    return table_of(*floats, Format::fp32, scales);
  if (const auto* words = std::get_if<Array<uint16_t>>(&table))
    return table_of(*words, Format::bf16, scales);
  if (const auto* halves = std::get_if<Array<Half>>(&table))
    return table_of(*halves, Format::fp16, scales);
  return table_of(std::get<Array<int8_t>>(table), Format::int8, scales);
}

Array<float> embed(const Table& word, const Maybe<float>& scales, const IdArray& ids,
                   const Maybe<float>& position, const Maybe<int32_t>& position_ids,
                   const Maybe<float>& type, const Maybe<int32_t>& type_ids) {
  const TableView table = table_view(word, scales);
  const ops::Ids ids_view = ids_of("embed: ids", ids);
  const ops::Lookup positions{matrix("embed: position", position),
                              vector("embed: position_ids", position_ids)};
  const ops::Lookup types{matrix("embed: type", type), vector("embed: type_ids", type_ids)};
  Array<float> out = new_matrix(ids_view.size, table.cols);
  const auto out_view = mutable_matrix("out", out);
  released([&] { ops::embed(table, ids_view, positions, types, out_view); });
  return out;
}

Array<float> embed_bag(const Table& word, const Maybe<float>& scales, const IdArray& ids,
                       const Array<int64_t>& indptr, const std::string& mode,
                       const Maybe<float>& weights) {
  const TableView table = table_view(word, scales);
  const ops::Bags bags = bags_of("embed_bag", ids, indptr, mode, weights);
  Array<float> out = new_matrix(bags.indptr.size - 1, table.cols);
  const auto out_view = mutable_matrix("out", out);
  released([&] { ops::embed_bag(table, bags, out_view); });
  return out;
}

py::tuple quantize_rows_int8(const Array<float>& source) {
  const auto view = matrix("quantize_rows: source", source);
  Array<int8_t> codes({view.rows, view.cols});
  Array<float> scales(view.rows);
  int8_t* codes_data = codes.mutable_data();
  float* scales_data = scales.mutable_data();
  released([&] { ops::quantize_rows_int8(view, codes_data, scales_data); });
  return py::make_tuple(codes, scales);
}

}  // namespace

void bind_embedding(py::module_& m) {
  py::class_<ops::Int4Rows>(m, "Int4Rows")
      .def(py::init([](const ops::PackedMatrix& packed) { return ops::int4_rows(packed); }),
           "packed"_a)
      .def_static("fits", &ops::fits_int4_rows, "packed"_a)
      .def("packed", &ops::packed_matrix)
      .def_property_readonly(
          "shape", [](const ops::Int4Rows& t) { return py::make_tuple(t.rows, t.cols); })
      .def_readonly("group_size", &ops::Int4Rows::group_size)
      .def_property_readonly("nbytes", &ops::Int4Rows::nbytes);
  m.def("embed", &embed, "word"_a.noconvert(), "scales"_a.noconvert(), "ids"_a.noconvert(),
        "position"_a.noconvert() = py::none(), "position_ids"_a.noconvert() = py::none(),
        "type"_a.noconvert() = py::none(), "type_ids"_a.noconvert() = py::none());
  m.def("embed_bag", &embed_bag, "table"_a.noconvert(), "scales"_a.noconvert(),
        "ids"_a.noconvert(), "indptr"_a.noconvert(), "mode"_a,
        "weights"_a.noconvert() = py::none());
  m.def("quantize_rows_int8", &quantize_rows_int8, "source"_a.noconvert());
}

}  // namespace lowbit::bindings
