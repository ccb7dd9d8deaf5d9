#include "ops/pooling.hpp"

#include <algorithm>
#include <cmath>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

void check_mode(const char* function, const std::string& mode) {
  check(mode == "mean" || mode == "sum" || mode == "cls", function, ": mode=\"", mode,
        "\" is not known; use \"mean\", \"sum\" or \"cls\"");
}

}  // namespace

void pool(MatrixView<const float> x, VectorView<const int64_t> indptr, const std::string& mode,
          MatrixView<float> out) {
  check_mode("pool", mode);
  check_indptr("pool", indptr, x.rows);
  check_shape("pool", "out", out, indptr.size - 1, x.cols);
  Trace trace("pool", mode, "M", x.rows, "sequences", out.rows, "D", x.cols);
  if (mode == "cls") {
    for (int64_t s = 0; s < out.rows; ++s) {
      if (indptr[s] == indptr[s + 1])
        std::fill_n(out.row(s), x.cols, 0.0f);
      else
        std::copy_n(x.row(indptr[s]), x.cols, out.row(s));
    }
    return;
  }
  parallel_for(out.rows, 4, [&](int64_t begin, int64_t end) {
    kernels().pool({x, indptr.data, mode == "mean", out, begin, end});
  });
}

void pool_backward(MatrixView<const float> dout, VectorView<const int64_t> indptr,
                   const std::string& mode, MatrixView<float> dx) {
  check_mode("pool_backward", mode);
  check_indptr("pool_backward", indptr, dx.rows);
  check_shape("pool_backward", "dout", dout, indptr.size - 1, dx.cols);
  for (int64_t s = 0; s < dout.rows; ++s) {
    const int64_t length = indptr[s + 1] - indptr[s];
    const float scale = mode == "mean" && length ? 1.0f / static_cast<float>(length) : 1.0f;
    for (int64_t r = indptr[s]; r < indptr[s + 1]; ++r) {
      const bool used = mode != "cls" || r == indptr[s];
      for (int64_t c = 0; c < dx.cols; ++c) dx.row(r)[c] = used ? dout.row(s)[c] * scale : 0.0f;
    }
  }
}

void l2_normalize(MatrixView<const float> x, MatrixView<float> out) {
  check_shape("l2_normalize", "out", out, x.rows, x.cols);
  parallel_for(x.rows, row_grain(x.cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      double square = 0;
      for (int64_t c = 0; c < x.cols; ++c) square += double{x.row(r)[c]} * x.row(r)[c];
      const float scale = square > 0 ? static_cast<float>(1.0 / std::sqrt(square)) : 0.0f;
      for (int64_t c = 0; c < x.cols; ++c) out.row(r)[c] = x.row(r)[c] * scale;
    }
  });
}

}  // namespace lowbit::ops
