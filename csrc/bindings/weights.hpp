// The weight argument of an operation: packed, or a dense array of float32, float16, or bfloat16 as
// uint16.
#pragma once

#include <variant>

#include "bindings/numpy.hpp"
#include "ops/packed_matrix.hpp"

namespace lowbit::bindings {

using Weight = std::variant<const ops::PackedMatrix*, Array<float>, Array<uint16_t>,
                            Array<Half>>;

template <class T>
WeightView words_view(const Array<T>& words, Format format) {
  const auto m = matrix("weight", words);
  WeightView w;
  w.format = format;
  w.rows = m.rows, w.cols = m.cols, w.stride = m.stride, w.data = m.data;
  return w;
}

inline WeightView view(const Weight& weight) {
  if (const auto* packed = std::get_if<const ops::PackedMatrix*>(&weight))
    return (*packed)->view();
  if (const auto* halves = std::get_if<Array<Half>>(&weight))
    return words_view(*halves, Format::fp16);
  if (const auto* floats = std::get_if<Array<float>>(&weight)) {
    const auto m = matrix("weight", *floats);
    return dense_weight(m.data, m.rows, m.cols, m.stride);
  }
  return words_view(std::get<Array<uint16_t>>(weight), Format::bf16);
}

}  // namespace lowbit::bindings
