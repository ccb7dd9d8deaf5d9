#include "ops/linear.hpp"

#include <algorithm>
#include <memory>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/formats.hpp"

namespace lowbit::ops {
namespace {

// Memory for one intermediate result of an operation.
struct Buffer {
  Buffer(int64_t rows, int64_t cols)
      : memory(new float[static_cast<size_t>(rows * cols)]), view(memory.get(), rows, cols) {}
  std::unique_ptr<float[]> memory;
  MatrixView<float> view;
};

WeightView dense(MatrixView<const float> m) {
  return dense_weight(m.data, m.rows, m.cols, m.stride);
}

// Cuts a product into tasks: four panels wide, and as many rows as leave every thread some tasks.
void run(MatmulArgs args) {
  const int64_t panels = ceil_div(args.y.cols, 16);
  const int64_t groups = ceil_div(panels, kMatmulPanels);
  const int64_t rows = args.y.rows;
  if (rows == 0 || panels == 0) return;
  const int64_t threads = get_num_threads();
  const int64_t wanted = std::max<int64_t>(1, 3 * threads / groups);
  const int64_t row_step = std::max<int64_t>(48, round_up(ceil_div(rows, wanted), 48));
  const int64_t row_tasks = ceil_div(rows, row_step);
  const double work = 2.0 * static_cast<double>(rows) * static_cast<double>(args.y.cols) *
                      static_cast<double>(args.first.x.cols);
  // A product below about 20 microseconds costs more to hand out than to compute.
  const int64_t grain = work < 2e6 ? groups * row_tasks : 1;
  const int64_t scratch_size = matmul_scratch(args.second.x.cols);
  parallel_for(groups * row_tasks, grain, [&](int64_t begin, int64_t end) {
    MatmulArgs task = args;
    task.scratch = scratch<float>(scratch_size);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t group = i / row_tasks, part = i % row_tasks;
      task.panel_begin = group * kMatmulPanels;
      task.panel_end = std::min(panels, task.panel_begin + kMatmulPanels);
      task.row_begin = part * row_step;
      task.row_end = std::min(rows, task.row_begin + row_step);
      kernels().matmul(task);
    }
  });
}

// y = scale * x W^T + residual, or with W when transposed.
void multiply(MatrixView<const float> x, const WeightView& w, bool transposed, float scale,
              MatrixView<float> y, MatrixView<const float> residual = {}) {
  MatmulArgs args{};
  args.residual = residual;
  args.first = {x, w};
  args.transposed = transposed;
  args.scale = scale;
  args.y = y;
  run(args);
}

void add(MatrixView<const float> from, MatrixView<float> to) {
  for (int64_t r = 0; r < to.rows; ++r)
    for (int64_t c = 0; c < to.cols; ++c) to.row(r)[c] += from.row(r)[c];
}

Buffer transposed(MatrixView<const float> m) {
  Buffer out(m.cols, m.rows);
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t c = 0; c < m.cols; ++c) out.view.row(c)[r] = m.row(r)[c];
  return out;
}

void check_low_rank(const char* function, const LowRank& lora, const WeightView& w) {
  const int64_t rank = lora.a.rows;
  check(rank >= 1 && rank <= 1024, function, ": lora_a has ", rank,
        " rows; the rank must be between 1 and 1024");
  check_shape(function, "lora_a", lora.a, rank, w.cols);
  check_shape(function, "lora_b", lora.b, w.rows, rank);
  const float p = lora.dropout.probability;
  check(p >= 0 && p < 1, function, ": dropout=", p, " is not in [0, 1)");
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
                    MatrixView<float> xa) {
  check(x.cols == w.cols, "linear: x has ", x.cols, " columns, the weight has ", w.cols);
  check_shape("linear", "out", y, x.rows, w.rows);
  check(!bias || bias.size == w.rows, "linear: bias has ", bias.size, " values, the weight has ",
        w.rows, " rows");
  if (residual)
    check_shape("linear", "residual", residual, x.rows, w.rows);
  Trace trace("linear", format_info(w.format).name, "M", x.rows, "N", w.rows, "K", w.cols, "rank",
              lora.a.rows);
  MatmulArgs args{};
  args.first = {x, w};
  args.bias = bias.data;
  args.residual = residual;
  args.scale = 1;
  args.y = y;
  if (lora) {
    check_low_rank("linear", lora, w);
    check_shape("linear", "xa", xa, x.rows, lora.a.rows);
    if (lora.dropout.active()) {
      Buffer masked(x.rows, x.cols);
      dropout(x, lora.dropout, masked.view);
      multiply(masked.view, dense(lora.a), false, lora.scale, xa);
    } else {
      multiply(x, dense(lora.a), false, lora.scale, xa);
    }
    args.second = {xa, dense(lora.b)};
  }
  run(args);
}

void linear_backward(MatrixView<const float> dy, MatrixView<const float> x,
                     MatrixView<const float> xa, const WeightView& w, const LowRank& lora,
                     const LinearGradients& gradients) {
  check_shape("linear_backward", "dy", dy, dy.rows, w.rows);
  Trace trace("linear_backward", format_info(w.format).name, "M", dy.rows, "N", w.rows, "K",
              w.cols, "rank", lora.a.rows);
  const MatrixView<float>& dx = gradients.dx;
  const MatrixView<const float>& residual = gradients.residual;
  if (dx) check_shape("linear_backward", "dx", dx, dy.rows, w.cols);
  if (dx && residual)
    check_shape("linear_backward", "residual", residual, dy.rows, w.cols);
  if (!lora) {
    if (dx) multiply(dy, w, true, 1.0f, dx, residual);
    return;
  }
  check_low_rank("linear_backward", lora, w);
  const int64_t rank = lora.a.rows;
  check_shape("linear_backward", "x", x, dy.rows, w.cols);
  check_shape("linear_backward", "xa", xa, dy.rows, rank);
  check_shape("linear_backward", "da", gradients.da, rank, w.cols);
  check_shape("linear_backward", "db", gradients.db, w.rows, rank);

  Buffer dyb(dy.rows, rank);  // scale * dy b
  multiply(dy, dense(lora.b), true, lora.scale, dyb.view);
  const Buffer dyb_t = transposed(dyb.view);
  const Buffer xa_t = transposed(xa);
  Buffer db_t(rank, w.rows);
  multiply(xa_t.view, dense(dy), true, 1.0f, db_t.view);
  const Buffer db = transposed(db_t.view);
  for (int64_t r = 0; r < w.rows; ++r)
    std::copy_n(db.view.row(r), rank, gradients.db.row(r));

  if (!lora.dropout.active()) {
    multiply(dyb_t.view, dense(x), true, 1.0f, gradients.da);
    if (!dx) return;
    MatmulArgs args{};
    args.first = {dy, w};
    args.second = {dyb.view, dense(lora.a)};
    args.transposed = true;
    args.residual = residual;
    args.scale = 1;
    args.y = dx;
    run(args);
    return;
  }
  Buffer masked(x.rows, x.cols);
  dropout(x, lora.dropout, masked.view);
  multiply(dyb_t.view, dense(masked.view), true, 1.0f, gradients.da);
  if (!dx) return;
  multiply(dyb.view, dense(lora.a), true, 1.0f, masked.view);
  dropout(masked.view, lora.dropout, masked.view);
  multiply(dy, w, true, 1.0f, dx, masked.view);
  if (residual) add(residual, dx);
}

}  // namespace lowbit::ops
