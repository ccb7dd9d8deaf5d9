// lowbit._core: one bind_<topic>.cpp per topic registers itself here.
#include <pybind11/pybind11.h>

#include "bindings/topics.hpp"
#include "core/error.hpp"

namespace py = pybind11;

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "Compiled kernels of lowbit; use the Python classes on top.";
  m.attr("version") = LOWBIT_VERSION;
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const lowbit::RangeError& e) {
      py::set_error(PyExc_IndexError, e.what());
    } catch (const lowbit::ArgumentError& e) {
      py::set_error(PyExc_ValueError, e.what());
    }
  });
#define TOPIC(name) lowbit::bindings::bind_##name(m);
#include "bindings/topics.def"
#undef TOPIC
}
