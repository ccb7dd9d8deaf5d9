#include "ops/low_rank.hpp"

#include <algorithm>

#include "ops/check.hpp"

namespace lowbit::ops {
namespace {

Buffer transposed(MatrixView<const float> m) {
  Buffer out(m.cols, m.rows);
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t c = 0; c < m.cols; ++c) out.view.row(c)[r] = m.row(r)[c];
  return out;
}

}  // namespace

void check_low_rank(const char* function, const LowRank& lora, const WeightView& w) {
  const int64_t rank = lora.a.rows;
  check(rank >= 1 && rank <= 1024, function, ": lora_a has ", rank,
        " rows; the rank must be between 1 and 1024");
  check_shape(function, "lora_a", lora.a, rank, w.cols);
  check_shape(function, "lora_b", lora.b, w.rows, rank);
  const float p = lora.dropout.probability;
  check(p >= 0 && p < 1, function, ": dropout=", p, " is not in [0, 1)");
}

MatmulArgs narrow(const Product& product, bool transposed, float scale, MatrixView<float> y) {
  MatmulArgs args{};
  args.first = product;
  args.transposed = transposed;
  args.scale = scale;
  args.y = y;
  return args;
}

void matmul_narrow(const MatmulArgs& args, Compute compute) {
  matmul(args, compute == Compute::bf16 ? compute : Compute::fp32);
}

void low_rank_gradients(MatrixView<const float> dy, MatrixView<const float> dyb,
                        MatrixView<const float> x, MatrixView<const float> xa,
                        MatrixView<float> da, MatrixView<float> db, Compute compute) {
  const int64_t rank = xa.cols;
  const Buffer xa_t = transposed(xa);
  Buffer db_t(rank, dy.cols);
  matmul_narrow(narrow({xa_t.view, dense(dy)}, true, 1.0f, db_t.view), compute);
  const Buffer turned = transposed(db_t.view);
  for (int64_t r = 0; r < dy.cols; ++r) std::copy_n(turned.view.row(r), rank, db.row(r));
  const Buffer dyb_t = transposed(dyb);
  matmul_narrow(narrow({dyb_t.view, dense(x)}, true, 1.0f, da), compute);
}

}  // namespace lowbit::ops
