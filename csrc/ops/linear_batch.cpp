#include "ops/linear_batch.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/formats.hpp"
#include "ops/int8_rounding.hpp"

namespace lowbit::ops {
namespace {

// Rows of one task: enough to use a panel of the adapter well, few enough to share an adapter's
// rows among threads.
constexpr int64_t kTaskRows = 96;

template <class T>
MatrixView<T> part(MatrixView<T> m, int64_t begin, int64_t end) {
  return {m.row(begin), end - begin, m.cols, m.stride};
}

// The rows sorted by adapter, rows without one last; rows of one adapter keep their order.
class RowOrder {
 public:
  RowOrder(const char* function, const LowRankBatch& batch)
      : bounds_(batch.adapters.size() + 1, 0), order_(static_cast<size_t>(batch.of_row.size)) {
    const std::vector<int64_t> counts = batch.count_rows(function);
    for (size_t j = 0; j + 1 < counts.size(); ++j) bounds_[j + 1] = bounds_[j] + counts[j];
    std::vector<int64_t> next = bounds_;
    for (int64_t row = 0; row < batch.of_row.size; ++row) {
      const int32_t adapter = batch.of_row[row];
      int64_t& place = adapter < 0 ? next.back() : next[static_cast<size_t>(adapter)];
      order_[static_cast<size_t>(place)] = row;
      sorted_ = sorted_ && place == row;
      ++place;
    }
  }
  int64_t begin(size_t adapter) const { return bounds_[adapter]; }
  int64_t end(size_t adapter) const { return bounds_[adapter + 1]; }

  // m with its rows sorted: itself, or a copy that `buffer` holds.
  MatrixView<const float> gather(MatrixView<const float> m, std::optional<Buffer>& buffer) const {
    if (sorted_ || !m) return m;
    const MatrixView<float> to = buffer.emplace(m.rows, m.cols).view;
    copy(m.rows, m.cols, [&](int64_t i, int64_t row) {
      std::copy_n(m.row(row), m.cols, to.row(i));
    });
    return to;
  }
  // Where sorted results go: to m itself, or to `buffer` until scatter().
  MatrixView<float> target(MatrixView<float> m, std::optional<Buffer>& buffer) const {
    return sorted_ || !m ? m : buffer.emplace(m.rows, m.cols).view;
  }
  void scatter(const std::optional<Buffer>& buffer, MatrixView<float> m) const {
    if (!buffer) return;
    copy(m.rows, m.cols, [&](int64_t i, int64_t row) {
      std::copy_n(buffer->view.row(i), m.cols, m.row(row));
    });
  }

 private:
  template <class Copy>
  void copy(int64_t rows, int64_t cols, Copy&& copy_row) const {
    parallel_for(rows, row_grain(cols), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) copy_row(i, order_[static_cast<size_t>(i)]);
    });
  }

  std::vector<int64_t> bounds_;  // of each adapter's rows in the order
  std::vector<int64_t> order_;   // order_[i]: the row that comes i-th
  bool sorted_ = true;
};

void check_batch(const char* function, const LowRankBatch& batch, const WeightView& w,
                 int64_t rows) {
  check_size(function, "rows of the batch", batch.of_row, rows);
  for (const LowRank& lora : batch.adapters) {
    check_low_rank(function, lora, w);
    check(!lora.dropout.active(), function, ": adapters of a batch cannot have dropout");
  }
}

// y += x w^T for one adapter's B.
MatmulArgs plus(MatrixView<const float> x, MatrixView<const float> w, bool transposed,
                MatrixView<float> y) {
  MatmulArgs args = narrow({x, dense(w)}, transposed, 1.0f, y);
  args.residual = y;
  return args;
}

}  // namespace

std::vector<int64_t> LowRankBatch::count_rows(const char* function) const {
  const auto count = static_cast<int64_t>(adapters.size());
  std::vector<int64_t> counts(adapters.size() + 1, 0);
  for (int64_t row = 0; row < of_row.size; ++row) {
    const int64_t adapter = of_row[row];
    check(adapter >= -1 && adapter < count, function, ": row ", row, " has adapter ", adapter,
          "; there are ", count, ", so use 0 to ", count - 1, ", or -1 for none");
    ++counts[static_cast<size_t>(adapter < 0 ? count : adapter)];
  }
  return counts;
}

void linear_batch_forward(MatrixView<const float> x, const WeightView& w,
                          VectorView<const float> bias, MatrixView<const float> residual,
                          const LowRankBatch& batch, MatrixView<float> y,
                          const std::vector<MatrixView<float>>& xa,
                          const std::string& compute_name, const Int8Rounding& rounding) {
  const char* name = "linear";
  check(x.cols == w.cols, name, ": x has ", x.cols, " columns, the weight has ", w.cols);
  check_shape(name, "out", y, x.rows, w.rows);
  check(!bias || bias.size == w.rows, name, ": bias has ", bias.size, " values, the weight has ",
        w.rows, " rows");
  if (residual) check_shape(name, "residual", residual, x.rows, w.rows);
  check_batch(name, batch, w, x.rows);
  const Compute compute = choose_compute(name, compute_name, x.rows, w.format);
  check_rounding(name, rounding, compute);
  Trace trace("linear_batch", format_info(w.format).name, "M", x.rows, "N", w.rows, "K", w.cols,
              "adapters", static_cast<long long>(batch.adapters.size()));

  const RowOrder order(name, batch);
  std::optional<Buffer> x_memory, residual_memory, y_memory;
  const MatrixView<const float> xs = order.gather(x, x_memory);
  const MatrixView<float> ys = order.target(y, y_memory);
  MatmulArgs args{};
  args.first = {xs, w};
  args.bias = bias.data;
  args.residual = order.gather(residual, residual_memory);
  args.scale = 1;
  args.y = ys;
  matmul(args, compute, {}, rounding);

  struct Task {
    size_t adapter;
    int64_t begin, end;  // sorted rows
  };
  std::vector<Task> tasks;
  for (size_t j = 0; j < batch.adapters.size(); ++j) {
    check_shape(name, "xa", xa[j], order.end(j) - order.begin(j), batch.adapters[j].a.rows);
    // Even parts: a remainder of few rows would be summed in another order than the rest.
    const int64_t first = order.begin(j), rows = order.end(j) - first;
    const int64_t parts = (rows + kTaskRows - 1) / kTaskRows;
    for (int64_t p = 0; p < parts; ++p)
      tasks.push_back({j, first + rows * p / parts, first + rows * (p + 1) / parts});
  }
  parallel_for(static_cast<int64_t>(tasks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Task& task = tasks[static_cast<size_t>(i)];
      const LowRank& lora = batch.adapters[task.adapter];
      const int64_t first = order.begin(task.adapter);
      const auto low = part(xa[task.adapter], task.begin - first, task.end - first);
      const auto from = part(xs, task.begin, task.end);
      multiply_here(narrow({from, dense(lora.a)}, false, lora.scale, low));
      multiply_here(plus(low, lora.b, false, part(ys, task.begin, task.end)));
    }
  });
  order.scatter(y_memory, y);
}

void linear_batch_backward(MatrixView<const float> dy, MatrixView<const float> x,
                           const std::vector<MatrixView<const float>>& xa, const WeightView& w,
                           const LowRankBatch& batch, const LinearBatchGradients& gradients,
                           const std::string& compute_name) {
  const char* name = "linear_backward";
  check_shape(name, "dy", dy, dy.rows, w.rows);
  check_shape(name, "x", x, dy.rows, w.cols);
  if (gradients.dx) check_shape(name, "dx", gradients.dx, dy.rows, w.cols);
  check_batch(name, batch, w, dy.rows);
  const Compute compute = choose_backward(name, compute_name, dy.rows, w.format);
  Trace trace("linear_batch_backward", format_info(w.format).name, "M", dy.rows, "N", w.rows, "K",
              w.cols, "adapters", static_cast<long long>(batch.adapters.size()));

  const RowOrder order(name, batch);
  std::optional<Buffer> dy_memory, x_memory, dx_memory;
  const MatrixView<const float> dys = order.gather(dy, dy_memory), xs = order.gather(x, x_memory);
  const MatrixView<float> dxs = order.target(gradients.dx, dx_memory);
  if (dxs) matmul(narrow({dys, w}, true, 1.0f, dxs), compute);
  for (size_t j = 0; j < batch.adapters.size(); ++j) {
    const LowRank& lora = batch.adapters[j];
    const int64_t begin = order.begin(j), end = order.end(j), rank = lora.a.rows;
    check_shape(name, "xa", xa[j], end - begin, rank);
    check_shape(name, "da", gradients.da[j], rank, w.cols);
    check_shape(name, "db", gradients.db[j], w.rows, rank);
    const auto dy_rows = part(dys, begin, end);
    const Buffer dyb(end - begin, rank);
    matmul(narrow({dy_rows, dense(lora.b)}, true, lora.scale, dyb.view), Compute::fp32);
    low_rank_gradients(dy_rows, dyb.view, part(xs, begin, end), xa[j], gradients.da[j],
                       gradients.db[j], Compute::fp32);
    if (dxs) matmul(plus(dyb.view, lora.a, true, part(dxs, begin, end)), Compute::fp32);
  }
  order.scatter(dx_memory, gradients.dx);
}

}  // namespace lowbit::ops
