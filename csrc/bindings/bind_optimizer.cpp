#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "ops/optimizer.hpp"

namespace lowbit::bindings {
namespace {

void adamw(Array<float>& parameters, const Array<float>& gradients, Array<float>& m,
           Array<float>& v, double lr, double beta1, double beta2, double eps, double weight_decay,
           int64_t step, double grad_scale) {
  const auto p_view = mutable_flat(parameters), m_view = mutable_flat(m), v_view = mutable_flat(v);
  const auto g_view = flat(gradients);
  released([&] {
    ops::adamw(p_view, g_view, m_view, v_view,
               {lr, beta1, beta2, eps, weight_decay, step, grad_scale});
  });
}

double sum_of_squares(const Array<float>& x) {
  const auto view = flat(x);
  py::gil_scoped_release release;
  return ops::sum_of_squares(view);
}

}  // namespace

void bind_optimizer(py::module_& m) {
  m.def("adamw", &adamw, "parameters"_a.noconvert(), "gradients"_a.noconvert(), "m"_a.noconvert(),
        "v"_a.noconvert(), "lr"_a, "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "step"_a,
        "grad_scale"_a = 1.0);
  m.def("sum_of_squares", &sum_of_squares, "x"_a.noconvert());
}

}  // namespace lowbit::bindings
