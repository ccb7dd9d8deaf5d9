// Where a training goes on, as Python has it.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "vectors/trainer.hpp"

namespace lowbit::bindings {

// (epoch, chunk), or None.
inline pybind11::object to_python(const std::optional<vectors::Place>& place) {
  if (!place) return pybind11::none();
  return pybind11::make_tuple(place->epoch, place->chunk);
}

}  // namespace lowbit::bindings
