// Non-owning views: what kernels and operations are given instead of containers.
#pragma once

#include <cstdint>

namespace lowbit {

template <class T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next

  MatrixView() = default;
  MatrixView(T* data, int64_t rows, int64_t cols) : MatrixView(data, rows, cols, cols) {}
  MatrixView(T* data, int64_t rows, int64_t cols, int64_t stride)
      : data(data), rows(rows), cols(cols), stride(stride) {}

  T* row(int64_t r) const { return data + r * stride; }
  explicit operator bool() const { return data != nullptr; }
  operator MatrixView<const T>() const { return {data, rows, cols, stride}; }
};

template <class T>
struct VectorView {
  T* data = nullptr;
  int64_t size = 0;

  T& operator[](int64_t i) const { return data[i]; }
  explicit operator bool() const { return data != nullptr; }
  operator VectorView<const T>() const { return {data, size}; }
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace lowbit
