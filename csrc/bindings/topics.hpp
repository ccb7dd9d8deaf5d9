#pragma once

#include <pybind11/pybind11.h>

namespace lowbit::bindings {

#define TOPIC(name) void bind_##name(pybind11::module_& m);
#include "bindings/topics.def"
#undef TOPIC

}  // namespace lowbit::bindings
