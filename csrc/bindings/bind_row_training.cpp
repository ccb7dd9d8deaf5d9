#include "bindings/row_ids.hpp"
#include "bindings/topics.hpp"
#include "ops/row_gradient.hpp"
#include "ops/row_optimizer.hpp"

namespace lowbit::bindings {
namespace {

py::tuple as_arrays(ops::RowGradient gradient) {
  const int64_t count = gradient.count, cols = gradient.cols;
  return py::make_tuple(adopt(std::move(gradient.rows), {count}),
                        adopt(std::move(gradient.values), {count, cols}));
}

py::tuple embed_backward(const Array<float>& dout, const IdArray& ids, int64_t rows) {
  const auto dout_view = matrix("embed_backward: dout", dout);
  const ops::Ids ids_view = ids_of("embed_backward: ids", ids);
  ops::RowGradient gradient;
  released([&] { gradient = ops::embed_backward(dout_view, ids_view, rows); });
  return as_arrays(std::move(gradient));
}

py::tuple embed_bag_backward(const Array<float>& dout, const IdArray& ids,
                             const Array<int64_t>& indptr, const std::string& mode,
                             const Maybe<float>& weights, int64_t rows) {
  const auto dout_view = matrix("embed_bag_backward: dout", dout);
  const ops::Bags bags = bags_of("embed_bag_backward", ids, indptr, mode, weights);
  ops::RowGradient gradient;
  released([&] { gradient = ops::embed_bag_backward(dout_view, bags, rows); });
  return as_arrays(std::move(gradient));
}

ops::RowUpdate update_of(Array<float>& table, const Array<int32_t>& rows,
                         const Array<float>& gradients) {
  return {mutable_matrix("table", table), vector("rows", rows), matrix("gradients", gradients)};
}

void sgd(Array<float>& table, const Array<int32_t>& rows, const Array<float>& gradients,
         std::optional<Array<float>>& buffer, double lr, double momentum) {
  const auto update = update_of(table, rows, gradients);
  const auto state = buffer ? mutable_matrix("buffer", *buffer) : MatrixView<float>{};
  released([&] { ops::sgd_rows(update, state, lr, momentum); });
}

void adagrad(Array<float>& table, const Array<int32_t>& rows, const Array<float>& gradients,
             Array<float>& squares, double lr, double eps) {
  const auto update = update_of(table, rows, gradients);
  const auto state = mutable_matrix("squares", squares);
  released([&] { ops::adagrad_rows(update, state, lr, eps); });
}

void sparse_adam(Array<float>& table, const Array<int32_t>& rows, const Array<float>& gradients,
                 Array<float>& m, Array<float>& v, double lr, double beta1, double beta2,
                 double eps, int64_t step) {
  const auto update = update_of(table, rows, gradients);
  const auto m_view = mutable_matrix("m", m), v_view = mutable_matrix("v", v);
  released([&] { ops::adam_rows(update, m_view, v_view, {lr, beta1, beta2, eps, step}); });
}

}  // namespace

void bind_row_training(py::module_& m) {
  m.def("embed_backward", &embed_backward, "dout"_a.noconvert(), "ids"_a.noconvert(), "rows"_a);
  m.def("embed_bag_backward", &embed_bag_backward, "dout"_a.noconvert(), "ids"_a.noconvert(),
        "indptr"_a.noconvert(), "mode"_a, "weights"_a.noconvert(), "rows"_a);
  m.def("sgd_rows", &sgd, "table"_a.noconvert(), "rows"_a.noconvert(), "gradients"_a.noconvert(),
        "buffer"_a.noconvert(), "lr"_a, "momentum"_a);
  m.def("adagrad_rows", &adagrad, "table"_a.noconvert(), "rows"_a.noconvert(),
        "gradients"_a.noconvert(), "squares"_a.noconvert(), "lr"_a, "eps"_a);
  m.def("sparse_adam_rows", &sparse_adam, "table"_a.noconvert(), "rows"_a.noconvert(),
        "gradients"_a.noconvert(), "m"_a.noconvert(), "v"_a.noconvert(), "lr"_a, "beta1"_a,
        "beta2"_a, "eps"_a, "step"_a);
}

}  // namespace lowbit::bindings
