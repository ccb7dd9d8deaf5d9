// Checks that several operations share.
#pragma once

#include <cmath>

#include "core/error.hpp"
#include "core/views.hpp"

namespace lowbit::ops {

template <class T>
void check_shape(const char* function, const char* argument, const MatrixView<T>& m, int64_t rows,
                 int64_t cols) {
  check(m.rows == rows && m.cols == cols, function, ": ", argument, " has shape (", m.rows, ", ",
        m.cols, "), expected (", rows, ", ", cols, ")");
}

template <class T>
void check_size(const char* function, const char* argument, const VectorView<T>& v, int64_t size) {
  check(v.size == size, function, ": ", argument, " has ", v.size, " values, expected ", size);
}

// Names the first value of a row that is not finite, for which `use` says that it must be.
inline void check_finite_row(const char* function, const char* argument,
                             MatrixView<const float> m, int64_t row, const char* use) {
  for (int64_t c = 0; c < m.cols; ++c)
    check(std::isfinite(m.row(row)[c]), function, ": ", argument, "[", row, ", ", c, "] is ",
          m.row(row)[c], "; ", use);
}

// indptr of packed sequences: starts at 0, never falls, ends at `rows`.
inline void check_indptr(const char* function, VectorView<const int64_t> indptr, int64_t rows) {
  check(indptr.size >= 1 && indptr[0] == 0, function, ": indptr must start with 0");
  for (int64_t i = 1; i < indptr.size; ++i)
    check(indptr[i] >= indptr[i - 1], function, ": indptr falls from ", indptr[i - 1], " to ",
          indptr[i], " at position ", i);
  check(indptr[indptr.size - 1] == rows, function, ": indptr ends at ", indptr[indptr.size - 1],
        ", but there are ", rows, " rows");
}

// Rows that make about 16,000 values: enough work to be worth handing to a thread.
inline int64_t row_grain(int64_t cols) {
  return cols >= 16384 ? 1 : 16384 / (cols > 0 ? cols : 1);
}

}  // namespace lowbit::ops
