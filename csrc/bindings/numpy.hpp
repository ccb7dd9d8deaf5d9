// NumPy arrays in and out: the only place where arrays become views. Arrays must already have the
// right dtype and be C-contiguous; the Python layer converts, so that a copy is never silent here.
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

template <class T>
MatrixView<const T> matrix(const char* name, const Array<T>& array) {
  check(array.ndim() == 2, name, " has ", array.ndim(), " dimensions, expected 2");
  return {array.data(), array.shape(0), array.shape(1)};
}
template <class T>
MatrixView<const T> matrix(const char* name, const Maybe<T>& array) {
  return array ? matrix(name, *array) : MatrixView<const T>{};
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

// An uninitialized array in memory that is kept for the next result when it is dropped.
inline Array<float> new_array(std::vector<py::ssize_t> shape) {
  py::ssize_t count = 1;
  for (const py::ssize_t size : shape) count *= size;
  Memory<float> memory = take<float>(count);
  const py::capsule owner(memory.get(), [](void* p) { give_memory(p); });
  return Array<float>(std::move(shape), memory.release(), owner);
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
