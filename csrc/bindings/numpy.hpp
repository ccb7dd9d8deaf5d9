// NumPy arrays in and out: the only place where arrays become views. Arrays must already have the
// right dtype and be C-contiguous, or have contiguous rows where Rows says so; the Python layer
// converts, so that a copy is never silent here.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>

#include "core/error.hpp"
#include "core/memory.hpp"
#include "core/views.hpp"

namespace lowbit::bindings {

namespace py = pybind11;
using namespace py::literals;

template <class T>
using Array = py::array_t<T, py::array::c_style>;
template <class T>
using Maybe = std::optional<Array<T>>;

// Floats whose rows may lie apart, such as some columns of a wider matrix.
using Rows = py::array_t<float, 0>;
using MaybeRows = std::optional<Rows>;

// An element of a float16 array.
struct Half { uint16_t bits; };

template <class T>
MatrixView<const T> matrix(const char* name, const Array<T>& array) {
  check(array.ndim() == 2, name, " has ", array.ndim(), " dimensions, expected 2");
  return {array.data(), array.shape(0), array.shape(1)};
}
template <class T>
MatrixView<const T> matrix(const char* name, const Maybe<T>& array) {
  return array ? matrix(name, *array) : MatrixView<const T>{};
}
inline MatrixView<const float> matrix(const char* name, const Rows& array) {
  check(array.ndim() == 2, name, " has ", array.ndim(), " dimensions, expected 2");
  constexpr py::ssize_t kSize = sizeof(float);
  const int64_t rows = array.shape(0), cols = array.shape(1);
  if (rows == 0 || cols == 0) return {array.data(), rows, cols};
  const py::ssize_t step = array.strides(0);
  check(cols == 1 || array.strides(1) == kSize, name, "'s rows are not contiguous; copy it");
  check(rows == 1 || (step % kSize == 0 && step >= cols * kSize), name,
        "'s rows overlap or run backwards; copy it");
  return {array.data(), rows, cols, rows == 1 ? cols : step / kSize};
}
inline MatrixView<const float> matrix(const char* name, const MaybeRows& array) {
  return array ? matrix(name, *array) : MatrixView<const float>{};
}
template <class T>
MatrixView<T> mutable_matrix(const char* name, Array<T>& array) {
  check(array.ndim() == 2, name, " has ", array.ndim(), " dimensions, expected 2");
  return {array.mutable_data(), array.shape(0), array.shape(1)};
}
template <class T>
VectorView<const T> vector(const char* name, const Array<T>& array) {
  check(array.ndim() == 1, name, " has ", array.ndim(), " dimensions, expected 1");
  return {array.data(), array.shape(0)};
}
template <class T>
VectorView<const T> vector(const char* name, const Maybe<T>& array) {
  return array ? vector(name, *array) : VectorView<const T>{};
}

// An array of memory that is kept for the next result when it is dropped. Null is for no elements.
template <class T>
Array<T> adopt(Memory<T> memory, std::vector<py::ssize_t> shape) {
  if (!memory) return Array<T>(std::move(shape));
  const py::capsule owner(memory.get(), [](void* p) { give_memory(p); });
  return Array<T>(std::move(shape), memory.release(), owner);
}

// An uninitialized one.
inline Array<float> new_array(std::vector<py::ssize_t> shape) {
  py::ssize_t count = 1;
  for (const py::ssize_t size : shape) count *= size;
  return adopt(take<float>(count), std::move(shape));
}

inline Array<float> new_matrix(int64_t rows, int64_t cols) { return new_array({rows, cols}); }

// All elements of an array of any shape.
template <class T>
VectorView<const T> flat(const Array<T>& array) {
  return {array.data(), array.size()};
}
template <class T>
VectorView<T> mutable_flat(Array<T>& array) {
  return {array.mutable_data(), array.size()};
}

inline Array<float> new_like(const Array<float>& array) {
  return new_array({array.shape(), array.shape() + array.ndim()});
}

// Runs the work without the interpreter lock.
template <class Work>
void released(Work&& work) {
  py::gil_scoped_release release;
  work();
}

}  // namespace lowbit::bindings

template <>
struct pybind11::detail::npy_format_descriptor<lowbit::bindings::Half> {
  static constexpr auto name = const_name("numpy.float16");
  static pybind11::dtype dtype() { return pybind11::dtype("float16"); }
};
