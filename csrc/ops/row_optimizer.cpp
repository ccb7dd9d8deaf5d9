#include "ops/row_optimizer.hpp"

#include <cmath>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

void check_update(const char* function, const RowUpdate& u) {
  check_shape(function, "gradients", u.gradients, u.rows.size, u.table.cols);
  for (int64_t i = 0; i < u.rows.size; ++i) {
    check<RangeError>(u.rows[i] >= 0 && u.rows[i] < u.table.rows, function, ": row ", u.rows[i],
                      " at position ", i, " is not between 0 and ", u.table.rows - 1);
    // Two threads would change a row that comes twice.
    check(i == 0 || u.rows[i - 1] < u.rows[i], function, ": rows must ascend, each once; at"
          " position ", i, " is ", u.rows[i]);
  }
}

void check_state(const char* function, const char* name, MatrixView<float> state,
                 const RowUpdate& u) {
  check_shape(function, name, state, u.table.rows, u.table.cols);
}

void check_positive(const char* function, const char* name, double value) {
  check(std::isfinite(value) && value >= 0, function, ": ", name, "=", value,
        " must be finite and at least 0");
}

void check_fraction(const char* function, const char* name, double value) {
  check(value >= 0 && value < 1, function, ": ", name, "=", value, " must be in [0, 1)");
}

// Calls step(row of the table, its gradient) for all rows, on all threads.
template <class Step>
void for_rows(const RowUpdate& u, Step&& step) {
  parallel_for(u.rows.size, row_grain(u.table.cols), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) step(u.rows[i], u.gradients.row(i));
  });
}

}  // namespace

void sgd_rows(const RowUpdate& u, MatrixView<float> buffer, double lr, double momentum) {
  check_update("sgd", u);
  check_positive("sgd", "lr", lr);
  check_fraction("sgd", "momentum", momentum);
  check(momentum == 0 || buffer || u.table.rows * u.table.cols == 0,
        "sgd: momentum needs a buffer");
  if (buffer) check_state("sgd", "buffer", buffer, u);
  Trace trace("sgd", "rows", u.rows.size, "D", u.table.cols);
  const auto kernel = kernels().sgd;
  for_rows(u, [&](int64_t row, const float* gradient) {
    kernel({u.table.row(row), gradient, buffer ? buffer.row(row) : nullptr, static_cast<float>(lr),
            static_cast<float>(momentum), 0, u.table.cols});
  });
}

void adagrad_rows(const RowUpdate& u, MatrixView<float> squares, double lr, double eps) {
  check_update("adagrad", u);
  check_state("adagrad", "squares", squares, u);
  check_positive("adagrad", "lr", lr);
  check_positive("adagrad", "eps", eps);
  Trace trace("adagrad", "rows", u.rows.size, "D", u.table.cols);
  const auto kernel = kernels().adagrad;
  for_rows(u, [&](int64_t row, const float* gradient) {
    kernel({u.table.row(row), gradient, squares.row(row), static_cast<float>(lr),
            static_cast<float>(eps), 0, u.table.cols});
  });
}

void adam_rows(const RowUpdate& u, MatrixView<float> m, MatrixView<float> v,
               const SparseAdamOptions& o) {
  check_update("sparse_adam", u);
  check_state("sparse_adam", "m", m, u);
  check_state("sparse_adam", "v", v, u);
  check(o.step >= 1, "sparse_adam: step=", o.step, " must be at least 1");
  check_positive("sparse_adam", "lr", o.lr);
  check_positive("sparse_adam", "eps", o.eps);
  check_fraction("sparse_adam", "beta1", o.beta1);
  check_fraction("sparse_adam", "beta2", o.beta2);
  AdamwArgs args{};
  args.beta1 = static_cast<float>(o.beta1), args.beta2 = static_cast<float>(o.beta2);
  args.eps = static_cast<float>(o.eps);
  args.grad_scale = args.keep = args.root_correction = 1;
  // Both corrections are in the step, as in torch, so eps is not corrected: AdamW's is.
  const double steps = static_cast<double>(o.step);
  args.step_size = static_cast<float>(o.lr * std::sqrt(1 - std::pow(double{args.beta2}, steps)) /
                                      (1 - std::pow(double{args.beta1}, steps)));
  args.end = u.table.cols;
  Trace trace("sparse_adam", "rows", u.rows.size, "D", u.table.cols);
  const auto kernel = kernels().adamw;
  for_rows(u, [&](int64_t row, const float* gradient) {
    AdamwArgs part = args;
    part.parameters = u.table.row(row), part.gradients = gradient;
    part.m = m.row(row), part.v = v.row(row);
    kernel(part);
  });
}

}  // namespace lowbit::ops
