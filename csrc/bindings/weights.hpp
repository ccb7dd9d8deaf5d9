// The weight argument of an operation: packed, or a dense float32 or bfloat16 (as uint16) array.
#pragma once

#include <variant>

#include "bindings/numpy.hpp"
#include "ops/packed_matrix.hpp"

namespace lowbit::bindings {

using Weight = std::variant<const ops::PackedMatrix*, Array<float>, Array<uint16_t>>;

inline WeightView view(const Weight& weight) {
  if (const auto* packed = std::get_if<const ops::PackedMatrix*>(&weight))
    return (*packed)->view();
  WeightView w;
  if (const auto* floats = std::get_if<Array<float>>(&weight)) {
    const auto m = matrix("weight", *floats);
    return dense_weight(m.data, m.rows, m.cols, m.stride);
  }
  const auto m = matrix("weight", std::get<Array<uint16_t>>(weight));
  w.format = Format::bf16;
  w.rows = m.rows, w.cols = m.cols, w.stride = m.stride, w.data = m.data;
  return w;
}

}  // namespace lowbit::bindings
