#include <tuple>

#include "bindings/int8_rounding.hpp"
#include "bindings/topics.hpp"
#include "bindings/weights.hpp"
#include "ops/linear_batch.hpp"

namespace lowbit::bindings {
namespace {

using Adapters = std::vector<std::tuple<Array<float>, Array<float>, float>>;  // a, b, scale

ops::LowRankBatch batch_of(const Adapters& adapters, const Array<int32_t>& rows) {
  ops::LowRankBatch batch;
  batch.of_row = vector("linear: rows of the batch", rows);
  for (const auto& [a, b, scale] : adapters)
    batch.adapters.push_back({matrix("lora_a", a), matrix("lora_b", b), scale, {}});
  return batch;
}

// Arrays [rows[j], cols[j]] that are filled without the interpreter lock.
struct Results {
  std::vector<Array<float>> arrays;
  std::vector<MatrixView<float>> views;

  void add(int64_t rows, int64_t cols) {
    arrays.push_back(new_matrix(rows, cols));
    views.push_back(mutable_matrix("result", arrays.back()));
  }
};

py::tuple linear_batch_forward(const Rows& x, const Weight& weight, const Maybe<float>& bias,
                               const MaybeRows& residual,
                               const Adapters& adapters, const Array<int32_t>& rows,
                               const std::string& compute, const XScale& x_scale) {
  const auto x_view = matrix("linear: x", x);
  const WeightView w = view(weight);
  const auto batch = batch_of(adapters, rows);
  const std::vector<int64_t> counts = batch.count_rows("linear");
  const Int8Rounding rounding = rounding_of("linear", x_scale);
  Results xa;
  for (size_t j = 0; j < batch.adapters.size(); ++j)
    xa.add(counts[j], batch.adapters[j].a.rows);
  Array<float> y = new_matrix(x_view.rows, w.rows);
  const auto bias_view = vector("linear: bias", bias);
  const auto residual_view = matrix("linear: residual", residual);
  const auto y_view = mutable_matrix("y", y);
  released([&] {
    ops::linear_batch_forward(x_view, w, bias_view, residual_view, batch, y_view, xa.views,
                              compute, rounding);
  });
  return py::make_tuple(y, xa.arrays);
}

py::tuple linear_batch_backward(const Rows& dy, const Rows& x,
                                const std::vector<Array<float>>& xa, const Weight& weight,
                                const Adapters& adapters, const Array<int32_t>& rows,
                                bool need_dx, const std::string& compute) {
  const auto dy_view = matrix("linear_backward: dy", dy);
  const auto x_view = matrix("linear_backward: x", x);
  const WeightView w = view(weight);
  const auto batch = batch_of(adapters, rows);
  check(xa.size() == adapters.size(), "linear_backward: xa has ", xa.size(), " arrays for ",
        adapters.size(), " adapters");
  std::vector<MatrixView<const float>> xa_views;
  Results da, db;
  for (size_t j = 0; j < adapters.size(); ++j) {
    xa_views.push_back(matrix("linear_backward: xa", xa[j]));
    da.add(batch.adapters[j].a.rows, w.cols);
    db.add(w.rows, batch.adapters[j].a.rows);
  }
  py::object dx = py::none();
  MatrixView<float> dx_view;
  if (need_dx) {
    Array<float> array = new_matrix(dy_view.rows, w.cols);
    dx_view = mutable_matrix("dx", array);
    dx = array;
  }
  released([&] {
    ops::linear_batch_backward(dy_view, x_view, xa_views, w, batch, {dx_view, da.views, db.views},
                               compute);
  });
  return py::make_tuple(dx, da.arrays, db.arrays);
}

}  // namespace

void bind_linear_batch(py::module_& m) {
  m.def("linear_batch_forward", &linear_batch_forward, "x"_a.noconvert(), "weight"_a.noconvert(),
        "bias"_a.noconvert(), "residual"_a.noconvert(), "adapters"_a.noconvert(),
        "rows"_a.noconvert(), "compute"_a = "fp32", "x_scale"_a = "block");
  m.def("linear_batch_backward", &linear_batch_backward, "dy"_a.noconvert(), "x"_a.noconvert(),
        "xa"_a.noconvert(), "weight"_a.noconvert(), "adapters"_a.noconvert(),
        "rows"_a.noconvert(), "need_dx"_a = true, "compute"_a = "fp32");
}

}  // namespace lowbit::bindings
