#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "ops/activation.hpp"
#include "ops/attention.hpp"
#include "ops/normalization.hpp"
#include "ops/pooling.hpp"

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

Array<float> gelu(const Array<float>& x) {
  Array<float> y = new_like(x);
  const VectorView<const float> from = flat(x);
  const VectorView<float> to = mutable_flat(y);
  released([&] { ops::gelu(from, to); });
  return y;
}

Array<float> gelu_backward(const Array<float>& dy, const Array<float>& x) {
  Array<float> dx = new_like(x);
  const auto dy_view = flat(dy), x_view = flat(x);
  const auto dx_view = mutable_flat(dx);
  released([&] { ops::gelu_backward(dy_view, x_view, dx_view); });
  return dx;
}

ops::AttentionInputs inputs(const Array<float>& q, const Array<float>& k, const Array<float>& v,
                            int64_t heads, const Array<int64_t>& indptr, float dropout,
                            uint64_t seed, uint64_t counter) {
  return {matrix("attention: q", q), matrix("attention: k", k), matrix("attention: v", v), heads,
          vector("attention: indptr", indptr), {dropout, seed, counter}};
}

py::tuple attention(const Array<float>& q, const Array<float>& k, const Array<float>& v,
                    int64_t heads, const Array<int64_t>& indptr, float dropout, uint64_t seed,
                    uint64_t counter) {
  const auto in = inputs(q, k, v, heads, indptr, dropout, seed, counter);
  Array<float> out = new_matrix(in.q.rows, in.q.cols), lse = new_matrix(in.q.rows, heads);
  const auto out_view = mutable_matrix("out", out), lse_view = mutable_matrix("lse", lse);
  released([&] { ops::attention(in, out_view, lse_view); });
  return py::make_tuple(out, lse);
}

py::tuple attention_backward(const Array<float>& dout, const Array<float>& q,
                             const Array<float>& k, const Array<float>& v, const Array<float>& out,
                             const Array<float>& lse, int64_t heads, const Array<int64_t>& indptr,
                             float dropout, uint64_t seed, uint64_t counter) {
  const auto in = inputs(q, k, v, heads, indptr, dropout, seed, counter);
  const auto make = [&] { return new_matrix(in.q.rows, in.q.cols); };
  Array<float> dq = make(), dk = make(), dv = make();
  const ops::AttentionGradients gradients{mutable_matrix("dq", dq), mutable_matrix("dk", dk),
                                          mutable_matrix("dv", dv)};
  const auto dout_view = matrix("attention_backward: dout", dout);
  const auto out_view = matrix("attention_backward: out", out);
  const auto lse_view = matrix("attention_backward: lse", lse);
  released([&] { ops::attention_backward(in, dout_view, out_view, lse_view, gradients); });
  return py::make_tuple(dq, dk, dv);
}

Array<float> pool(const Array<float>& x, const Array<int64_t>& indptr, const std::string& mode) {
  const auto x_view = matrix("pool: x", x);
  const auto indptr_view = vector("pool: indptr", indptr);
  check(indptr_view.size >= 1, "pool: indptr is empty");
  Array<float> out = new_matrix(indptr_view.size - 1, x_view.cols);
  const auto out_view = mutable_matrix("out", out);
  released([&] { ops::pool(x_view, indptr_view, mode, out_view); });
  return out;
}

Array<float> pool_backward(const Array<float>& dout, const Array<int64_t>& indptr,
                           const std::string& mode) {
  const auto dout_view = matrix("pool_backward: dout", dout);
  const auto indptr_view = vector("pool_backward: indptr", indptr);
  check(indptr_view.size >= 1, "pool_backward: indptr is empty");
  Array<float> dx = new_matrix(indptr_view[indptr_view.size - 1], dout_view.cols);
  const auto dx_view = mutable_matrix("dx", dx);
  released([&] { ops::pool_backward(dout_view, indptr_view, mode, dx_view); });
  return dx;
}

Array<float> l2_normalize(const Array<float>& x) {
  const auto x_view = matrix("l2_normalize: x", x);
  Array<float> out = new_matrix(x_view.rows, x_view.cols);
  const auto out_view = mutable_matrix("out", out);
  released([&] { ops::l2_normalize(x_view, out_view); });
  return out;
}

}  // namespace

void bind_encoder(py::module_& m) {
  m.def("layer_norm", &layer_norm, "x"_a.noconvert(), "residual"_a.noconvert(),
        "gamma"_a.noconvert(), "beta"_a.noconvert(), "eps"_a);
  m.def("layer_norm_backward", &layer_norm_backward, "dy"_a.noconvert(), "h"_a.noconvert(),
        "mean"_a.noconvert(), "rstd"_a.noconvert(), "gamma"_a.noconvert());
  m.def("gelu", &gelu, "x"_a.noconvert());
  m.def("gelu_backward", &gelu_backward, "dy"_a.noconvert(), "x"_a.noconvert());
  m.def("attention", &attention, "q"_a.noconvert(), "k"_a.noconvert(), "v"_a.noconvert(),
        "heads"_a, "indptr"_a.noconvert(), "dropout"_a = 0.0f, "seed"_a = 0, "counter"_a = 0);
  m.def("attention_backward", &attention_backward, "dout"_a.noconvert(), "q"_a.noconvert(),
        "k"_a.noconvert(), "v"_a.noconvert(), "out"_a.noconvert(), "lse"_a.noconvert(), "heads"_a,
        "indptr"_a.noconvert(), "dropout"_a = 0.0f, "seed"_a = 0, "counter"_a = 0);
  m.def("pool", &pool, "x"_a.noconvert(), "indptr"_a.noconvert(), "mode"_a);
  m.def("pool_backward", &pool_backward, "dout"_a.noconvert(), "indptr"_a.noconvert(), "mode"_a);
  m.def("l2_normalize", &l2_normalize, "x"_a.noconvert());
}

}  // namespace lowbit::bindings
