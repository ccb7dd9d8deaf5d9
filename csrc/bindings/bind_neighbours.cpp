#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "ops/neighbours.hpp"

namespace lowbit::bindings {
namespace {

struct BoundTable {
  Array<float> rows;  // kept alive
  ops::NeighbourTable table;

  BoundTable(Array<float> given, const std::string& metric, const std::string& format)
      : rows(std::move(given)), table(matrix("NearestNeighbours: table", rows), metric, format) {}
};

std::unique_ptr<BoundTable> make_table(Array<float> rows, const std::string& metric,
                                       const std::string& format) {
  return std::make_unique<BoundTable>(std::move(rows), metric, format);
}

py::tuple search(const BoundTable& bound, const Array<float>& queries, int64_t k, int64_t limit) {
  const auto view = matrix("NearestNeighbours.search: queries", queries);
  const int64_t columns = k > 0 && k <= limit ? k : 0;  // refused where there are none
  Array<float> scores = new_matrix(view.rows, columns);
  Array<int64_t> rows({view.rows, columns});
  const auto scores_view = mutable_matrix("scores", scores);
  const auto rows_view = mutable_matrix("rows", rows);
  int64_t scored = 0;
  released([&] { scored = ops::nearest(bound.table, view, k, limit, scores_view, rows_view); });
  return py::make_tuple(scores, rows, scored);
}

}  // namespace

void bind_neighbours(py::module_& m) {
  py::class_<BoundTable>(m, "NeighbourTable")
      .def(py::init(&make_table), "rows"_a.noconvert(), "metric"_a, "format"_a)
      .def("search", &search, "queries"_a.noconvert(), "k"_a, "limit"_a)
      .def_property_readonly("nbytes", [](const BoundTable& b) { return b.table.nbytes(); });
}

}  // namespace lowbit::bindings
