#include "bindings/int8_rounding.hpp"
#include "bindings/topics.hpp"
#include "bindings/weights.hpp"
#include "ops/linear.hpp"

namespace lowbit::bindings {
namespace {

ops::LowRank low_rank(const Maybe<float>& a, const Maybe<float>& b, float scale, float dropout,
                      uint64_t seed, uint64_t counter) {
  check(a.has_value() == b.has_value(), "linear: lora_a and lora_b must be given together");
  return {matrix("lora_a", a), matrix("lora_b", b), scale, {dropout, seed, counter}};
}

py::tuple linear_forward(const Rows& x, const Weight& weight, const Maybe<float>& bias,
                         const MaybeRows& residual, const Maybe<float>& lora_a,
                         const Maybe<float>& lora_b, float scale, float dropout, uint64_t seed,
                         uint64_t counter, const std::string& compute, const XScale& x_scale) {
  const auto x_view = matrix("linear: x", x);
  const WeightView w = view(weight);
  const auto lora = low_rank(lora_a, lora_b, scale, dropout, seed, counter);
  const Int8Rounding rounding = rounding_of("linear", x_scale);
  Array<float> y = new_matrix(x_view.rows, w.rows);
  Array<float> xa = new_matrix(x_view.rows, lora.a.rows);
  const auto bias_view = vector("linear: bias", bias);
  const auto residual_view = matrix("linear: residual", residual);
  const auto y_view = mutable_matrix("y", y), xa_view = mutable_matrix("xa", xa);
  released([&] {
    ops::linear_forward(x_view, w, bias_view, residual_view, lora, y_view, xa_view, compute,
                        rounding);
  });
  if (!lora) return py::make_tuple(y, py::none());
  return py::make_tuple(y, xa);
}

py::tuple linear_backward(const Rows& dy, const MaybeRows& x, const Maybe<float>& xa,
                          const Weight& weight, const Maybe<float>& lora_a,
                          const Maybe<float>& lora_b, float scale, bool need_dx,
                          const MaybeRows& residual, float dropout, uint64_t seed,
                          uint64_t counter, const std::string& compute) {
  const auto dy_view = matrix("linear_backward: dy", dy);
  const WeightView w = view(weight);
  const auto lora = low_rank(lora_a, lora_b, scale, dropout, seed, counter);
  const auto x_view = matrix("linear_backward: x", x);
  const auto xa_view = matrix("linear_backward: xa", xa);
  py::object dx = py::none(), da = py::none(), db = py::none();
  ops::LinearGradients gradients;
  const auto allocate = [](py::object& slot, int64_t rows, int64_t cols) {
    Array<float> array = new_matrix(rows, cols);
    slot = array;
    return mutable_matrix("gradient", array);
  };
  gradients.residual = matrix("linear_backward: residual", residual);
  if (need_dx) gradients.dx = allocate(dx, dy_view.rows, w.cols);
  if (lora) {
    gradients.da = allocate(da, lora.a.rows, w.cols);
    gradients.db = allocate(db, w.rows, lora.a.rows);
  }
  released([&] {
    ops::linear_backward(dy_view, x_view, xa_view, w, lora, gradients, compute);
  });
  return py::make_tuple(dx, da, db);
}

Array<float> dropout(const Array<float>& x, float probability, uint64_t seed, uint64_t counter) {
  const auto x_view = matrix("dropout: x", x);
  Array<float> out = new_matrix(x_view.rows, x_view.cols);
  const auto out_view = mutable_matrix("out", out);
  released([&] { ops::dropout(x_view, {probability, seed, counter}, out_view); });
  return out;
}

}  // namespace

void bind_linear(py::module_& m) {
  m.def("linear_forward", &linear_forward, "x"_a.noconvert(), "weight"_a.noconvert(),
        "bias"_a.noconvert() = py::none(), "residual"_a.noconvert() = py::none(),
        "lora_a"_a.noconvert() = py::none(), "lora_b"_a.noconvert() = py::none(), "scale"_a = 1.0f,
        "dropout"_a = 0.0f, "seed"_a = 0, "counter"_a = 0, "compute"_a = "fp32",
        "x_scale"_a = "block");
  m.def("linear_backward", &linear_backward, "dy"_a.noconvert(), "x"_a.noconvert(),
        "xa"_a.noconvert(), "weight"_a.noconvert(), "lora_a"_a.noconvert() = py::none(),
        "lora_b"_a.noconvert() = py::none(), "scale"_a = 1.0f, "need_dx"_a = true,
        "residual"_a.noconvert() = py::none(), "dropout"_a = 0.0f, "seed"_a = 0, "counter"_a = 0,
        "compute"_a = "fp32");
  m.def("dropout", &dropout, "x"_a.noconvert(), "probability"_a, "seed"_a, "counter"_a);
}

}  // namespace lowbit::bindings
