#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "ops/attention.hpp"
#include "ops/pooling.hpp"

namespace lowbit::bindings {
namespace {

ops::AttentionInputs inputs(const Array<float>& q, const Array<float>& k, const Array<float>& v,
                            int64_t heads, const Array<int64_t>& indptr, float dropout,
                            uint64_t seed, uint64_t counter, bool causal) {
  return {matrix("attention: q", q), matrix("attention: k", k), matrix("attention: v", v), heads,
          vector("attention: indptr", indptr), {dropout, seed, counter}, causal};
}

py::tuple attention(const Array<float>& q, const Array<float>& k, const Array<float>& v,
                    int64_t heads, const Array<int64_t>& indptr, float dropout, uint64_t seed,
                    uint64_t counter, bool causal) {
  const auto in = inputs(q, k, v, heads, indptr, dropout, seed, counter, causal);
  Array<float> out = new_matrix(in.q.rows, in.q.cols), lse = new_matrix(in.q.rows, heads);
  const auto out_view = mutable_matrix("out", out), lse_view = mutable_matrix("lse", lse);
  released([&] { ops::attention(in, out_view, lse_view); });
  return py::make_tuple(out, lse);
}

py::tuple attention_backward(const Array<float>& dout, const Array<float>& q,
                             const Array<float>& k, const Array<float>& v, const Array<float>& out,
                             const Array<float>& lse, int64_t heads, const Array<int64_t>& indptr,
                             float dropout, uint64_t seed, uint64_t counter, bool causal) {
  const auto in = inputs(q, k, v, heads, indptr, dropout, seed, counter, causal);
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
  m.def("attention", &attention, "q"_a.noconvert(), "k"_a.noconvert(), "v"_a.noconvert(),
        "heads"_a, "indptr"_a.noconvert(), "dropout"_a = 0.0f, "seed"_a = 0, "counter"_a = 0,
        "causal"_a = false);
  m.def("attention_backward", &attention_backward, "dout"_a.noconvert(), "q"_a.noconvert(),
        "k"_a.noconvert(), "v"_a.noconvert(), "out"_a.noconvert(), "lse"_a.noconvert(), "heads"_a,
        "indptr"_a.noconvert(), "dropout"_a = 0.0f, "seed"_a = 0, "counter"_a = 0,
        "causal"_a = false);
  m.def("pool", &pool, "x"_a.noconvert(), "indptr"_a.noconvert(), "mode"_a);
  m.def("pool_backward", &pool_backward, "dout"_a.noconvert(), "indptr"_a.noconvert(), "mode"_a);
  m.def("l2_normalize", &l2_normalize, "x"_a.noconvert());
}

}  // namespace lowbit::bindings
