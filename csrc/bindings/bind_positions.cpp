#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "ops/positions.hpp"

namespace lowbit::bindings {
namespace {

// [batch, tokens, heads, columns] with strides of its own.
ops::HeadsView heads_view(py::array& array) {
  check(array.ndim() == 4, "rotary: an array has ", array.ndim(), " dimensions, expected 4");
  check(array.writeable(), "rotary: an array is read-only; pass a copy");
  const py::ssize_t size = array.itemsize();
  ops::HeadsView x{array.mutable_data(), array.shape(0), array.shape(1), array.shape(2),
                   array.shape(3)};
  if (array.size() == 0) return x;  // strides mean nothing
  check(x.head_dim <= 1 || array.strides(3) == size,
        "rotary: the columns of a head are not contiguous; pass a copy");
  int64_t* strides[] = {&x.batch_stride, &x.token_stride, &x.head_stride};
  for (int i = 0; i < 3; ++i) {
    check(array.strides(i) % size == 0, "rotary: rows are not aligned; pass a copy");
    *strides[i] = array.strides(i) / size;
  }
  return x;
}

void rotate(const std::vector<py::array>& arrays, const std::string& format,
            const Array<float>& cos, const Array<float>& sin, bool interleaved, bool back,
            bool rounded) {
  std::vector<ops::HeadsView> views;
  for (py::array array : arrays) {
    check(array.itemsize() == (format == "fp32" ? 4 : 2), "rotary: elements of ", array.itemsize(),
          " bytes are not ", format);
    views.push_back(heads_view(array));
  }
  const ops::Rotation rotation{matrix("rotary: cos", cos), matrix("rotary: sin", sin), interleaved,
                               back, rounded};
  released([&] { ops::rotate(format, views, rotation); });
}

}  // namespace

void bind_positions(py::module_& m) {
  m.def("rotate", &rotate, "arrays"_a, "format"_a, "cos"_a.noconvert(), "sin"_a.noconvert(),
        "interleaved"_a = false, "back"_a = false, "rounded"_a = false);
}

}  // namespace lowbit::bindings
