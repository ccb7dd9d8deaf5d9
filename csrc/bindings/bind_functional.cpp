#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "ops/activation.hpp"
#include "ops/normalization.hpp"

namespace lowbit::bindings {
namespace {

py::tuple layer_norm(const Array<float>& x, const Maybe<float>& residual,
                     const Array<float>& gamma, const Array<float>& beta, float eps) {
  const auto x_view = matrix("layer_norm: x", x);
  const auto residual_view = matrix("layer_norm: residual", residual);
  Array<float> y = new_matrix(x_view.rows, x_view.cols), mean(x_view.rows), rstd(x_view.rows);
  Array<float> h = residual ? new_matrix(x_view.rows, x_view.cols) : x;
  const auto y_view = mutable_matrix("y", y);
  const MatrixView<float> h_view = residual ? mutable_matrix("h", h) : MatrixView<float>{};
  const auto gamma_view = vector("layer_norm: gamma", gamma);
  const auto beta_view = vector("layer_norm: beta", beta);
  const VectorView<float> mean_view{mean.mutable_data(), x_view.rows};
  const VectorView<float> rstd_view{rstd.mutable_data(), x_view.rows};
  released([&] {
    ops::layer_norm(x_view, residual_view, gamma_view, beta_view, eps, y_view, h_view, mean_view,
                    rstd_view);
  });
  return py::make_tuple(y, h, mean, rstd);
}

Array<float> layer_norm_backward(const Array<float>& dy, const Array<float>& h,
                                 const Array<float>& mean, const Array<float>& rstd,
                                 const Array<float>& gamma) {
  const auto dy_view = matrix("layer_norm_backward: dy", dy);
  const auto h_view = matrix("layer_norm_backward: h", h);
  Array<float> dh = new_matrix(h_view.rows, h_view.cols);
  const auto dh_view = mutable_matrix("dh", dh);
  const auto mean_view = vector("mean", mean), rstd_view = vector("rstd", rstd),
             gamma_view = vector("gamma", gamma);
  released([&] {
    ops::layer_norm_backward(dy_view, h_view, mean_view, rstd_view, gamma_view, dh_view);
  });
  return dh;
}

Array<float> rms_norm(const Rows& x, const Array<float>& gamma, float eps) {
  const auto x_view = matrix("rms_norm: x", x);
  const auto gamma_view = vector("rms_norm: gamma", gamma);
  Array<float> y = new_matrix(x_view.rows, x_view.cols);
  const auto y_view = mutable_matrix("y", y);
  released([&] { ops::rms_norm(x_view, gamma_view, eps, y_view); });
  return y;
}

Array<float> rms_norm_backward(const Rows& dy, const Rows& x, const Array<float>& gamma,
                               float eps) {
  const auto dy_view = matrix("rms_norm_backward: dy", dy);
  const auto x_view = matrix("rms_norm_backward: x", x);
  const auto gamma_view = vector("rms_norm_backward: gamma", gamma);
  Array<float> dx = new_matrix(x_view.rows, x_view.cols);
  const auto dx_view = mutable_matrix("dx", dx);
  released([&] { ops::rms_norm_backward(dy_view, x_view, gamma_view, eps, dx_view); });
  return dx;
}

Array<float> softmax(const Rows& x) {
  const auto x_view = matrix("softmax: x", x);
  Array<float> y = new_matrix(x_view.rows, x_view.cols);
  const auto y_view = mutable_matrix("y", y);
  released([&] { ops::softmax(x_view, y_view); });
  return y;
}

Array<float> softmax_backward(const Rows& dy, const Rows& y) {
  const auto dy_view = matrix("softmax_backward: dy", dy);
  const auto y_view = matrix("softmax_backward: y", y);
  Array<float> dx = new_matrix(y_view.rows, y_view.cols);
  const auto dx_view = mutable_matrix("dx", dx);
  released([&] { ops::softmax_backward(dy_view, y_view, dx_view); });
  return dx;
}

Array<float> activation(const Array<float>& x, const std::string& name) {
  Array<float> y = new_like(x);
  const VectorView<const float> from = flat(x);
  const VectorView<float> to = mutable_flat(y);
  released([&] { ops::activation(name, from, to); });
  return y;
}

Array<float> activation_backward(const Array<float>& dy, const Array<float>& x,
                                 const std::string& name) {
  Array<float> dx = new_like(x);
  const auto dy_view = flat(dy), x_view = flat(x);
  const auto dx_view = mutable_flat(dx);
  released([&] { ops::activation_backward(name, dy_view, x_view, dx_view); });
  return dx;
}

}  // namespace

void bind_functional(py::module_& m) {
  m.def("layer_norm", &layer_norm, "x"_a.noconvert(), "residual"_a.noconvert(),
        "gamma"_a.noconvert(), "beta"_a.noconvert(), "eps"_a);
  m.def("layer_norm_backward", &layer_norm_backward, "dy"_a.noconvert(), "h"_a.noconvert(),
        "mean"_a.noconvert(), "rstd"_a.noconvert(), "gamma"_a.noconvert());
  m.def("rms_norm", &rms_norm, "x"_a.noconvert(), "gamma"_a.noconvert(), "eps"_a);
  m.def("rms_norm_backward", &rms_norm_backward, "dy"_a.noconvert(), "x"_a.noconvert(),
        "gamma"_a.noconvert(), "eps"_a);
  m.def("softmax", &softmax, "x"_a.noconvert());
  m.def("softmax_backward", &softmax_backward, "dy"_a.noconvert(), "y"_a.noconvert());
  m.def("activation", &activation, "x"_a.noconvert(), "name"_a = "gelu");
  m.def("activation_backward", &activation_backward, "dy"_a.noconvert(), "x"_a.noconvert(),
        "name"_a = "gelu");
}

}  // namespace lowbit::bindings
