#include "ops/linear.hpp"

#include <algorithm>
#include <optional>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/formats.hpp"
#include "ops/int8_rounding.hpp"
#include "ops/matmul.hpp"

namespace lowbit::ops {
namespace {

// What LOWBIT_VERBOSE calls the operations, by Compute.
constexpr const char* kForward[] = {"linear", "linear_int16", "linear_bf16", "linear_int8"};
constexpr const char* kBackward[] = {"linear_backward", "linear_backward_int16",
                                     "linear_backward_bf16"};

void add(MatrixView<const float> from, MatrixView<float> to) {
  for (int64_t r = 0; r < to.rows; ++r)
    for (int64_t c = 0; c < to.cols; ++c) to.row(r)[c] += from.row(r)[c];
}

}  // namespace

void dropout(MatrixView<const float> x, const DropoutMask& mask, MatrixView<float> out) {
  check(mask.probability >= 0 && mask.probability < 1, "dropout: probability=", mask.probability,
        " is not in [0, 1)");
  check(mask.counter % 4 == 0, "dropout: counter=", mask.counter, " is not a multiple of 4");
  check_shape("dropout", "out", out, x.rows, x.cols);
  const float scale = mask.keep_scale();
  parallel_for(x.rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, x.cols)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r) {
                   const float* from = x.row(r) - r * x.cols;
                   float* to = out.row(r) - r * x.cols;
                   for_each_kept(mask, r * x.cols, (r + 1) * x.cols, [&](int64_t i, bool keep) {
                     to[i] = keep ? from[i] * scale : 0.0f;
                   });
                 }
               });
}

void linear_forward(MatrixView<const float> x, const WeightView& w, VectorView<const float> bias,
                    MatrixView<const float> residual, const LowRank& lora, MatrixView<float> y,
                    MatrixView<float> xa, const std::string& compute_name,
                    const Int8Rounding& rounding) {
  check(x.cols == w.cols, "linear: x has ", x.cols, " columns, the weight has ", w.cols);
  check_shape("linear", "out", y, x.rows, w.rows);
  check(!bias || bias.size == w.rows, "linear: bias has ", bias.size, " values, the weight has ",
        w.rows, " rows");
  if (residual)
    check_shape("linear", "residual", residual, x.rows, w.rows);
  const Compute compute = choose_compute("linear", compute_name, x.rows, w.format);
  check_rounding("linear", rounding, compute);
  Trace trace(kForward[static_cast<int>(compute)], format_info(w.format).name, "M", x.rows, "N",
              w.rows, "K", w.cols, "rank", lora.a.rows);
  std::optional<MatmulArgs> down;  // to the adapter's rank
  if (lora) {
    check_low_rank("linear", lora, w);
    check_shape("linear", "xa", xa, x.rows, lora.a.rows);
    down = narrow({x, dense(lora.a)}, false, lora.scale, xa);
  }
  if (lora && lora.dropout.active()) {
    Buffer masked(x.rows, x.cols);
    dropout(x, lora.dropout, masked.view);
    down->first.x = masked.view;
    matmul_narrow(*down, compute);
    down.reset();
  }
  MatmulArgs args{};
  args.first = {x, w};
  if (lora) args.second = {xa, dense(lora.b)};
  args.bias = bias.data;
  args.residual = residual;
  args.scale = 1;
  args.y = y;
  matmul(args, compute, down, rounding);
}

void linear_backward(MatrixView<const float> dy, MatrixView<const float> x,
                     MatrixView<const float> xa, const WeightView& w, const LowRank& lora,
                     const LinearGradients& gradients, const std::string& compute_name) {
  check_shape("linear_backward", "dy", dy, dy.rows, w.rows);
  const Compute compute = choose_backward("linear_backward", compute_name, dy.rows, w.format);
  Trace trace(kBackward[static_cast<int>(compute)], format_info(w.format).name, "M", dy.rows, "N",
              w.rows, "K", w.cols, "rank", lora.a.rows);
  const MatrixView<float>& dx = gradients.dx;
  const MatrixView<const float>& residual = gradients.residual;
  if (dx) check_shape("linear_backward", "dx", dx, dy.rows, w.cols);
  if (dx && residual)
    check_shape("linear_backward", "residual", residual, dy.rows, w.cols);
  MatmulArgs args{};
  args.first = {dy, w};
  args.transposed = true;
  args.residual = residual;
  args.scale = 1;
  args.y = dx;
  if (!lora) {
    if (dx) matmul(args, compute);
    return;
  }
  check_low_rank("linear_backward", lora, w);
  const int64_t rank = lora.a.rows;
  check_shape("linear_backward", "x", x, dy.rows, w.cols);
  check_shape("linear_backward", "xa", xa, dy.rows, rank);
  check_shape("linear_backward", "da", gradients.da, rank, w.cols);
  check_shape("linear_backward", "db", gradients.db, w.rows, rank);

  Buffer dyb(dy.rows, rank);  // scale * dy b
  const MatmulArgs down = narrow({dy, dense(lora.b)}, true, lora.scale, dyb.view);
  if (!lora.dropout.active()) {
    args.second = {dyb.view, dense(lora.a)};
    if (dx)
      matmul(args, compute, down);
    else
      matmul_narrow(down, compute);
    low_rank_gradients(dy, dyb.view, x, xa, gradients.da, gradients.db, compute);
    return;
  }
  matmul_narrow(down, compute);
  Buffer masked(x.rows, x.cols);
  dropout(x, lora.dropout, masked.view);
  low_rank_gradients(dy, dyb.view, masked.view, xa, gradients.da, gradients.db, compute);
  if (!dx) return;
  matmul_narrow(narrow({dyb.view, dense(lora.a)}, true, 1.0f, masked.view), compute);
  dropout(masked.view, lora.dropout, masked.view);
  args.residual = masked.view;
  matmul(args, compute);
  if (residual) add(residual, dx);
}

}  // namespace lowbit::ops
