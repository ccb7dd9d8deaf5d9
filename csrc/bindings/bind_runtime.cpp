#include "bindings/numpy.hpp"
#include "bindings/topics.hpp"
#include "core/cpu.hpp"
#include "core/memory.hpp"
#include "core/threads.hpp"
#include "ops/dispatch.hpp"
#include "ops/limits.hpp"

namespace lowbit::bindings {

static py::dict cpu_info() {
  const CpuFeatures& cpu = cpu_features();
  py::dict features;
#define FEATURE(name) features[#name] = cpu.name;
  FEATURE(avx2) FEATURE(fma) FEATURE(f16c) FEATURE(avx512) FEATURE(avx512_vnni)
  FEATURE(avx512_bf16) FEATURE(amx_bf16) FEATURE(amx_int8) FEATURE(neon) FEATURE(dotprod)
  FEATURE(i8mm) FEATURE(emulated)
#undef FEATURE
  return py::dict("model"_a = cpu.model, "features"_a = features, "isas"_a = ops::isas(),
                  "compiled_isas"_a = ops::compiled_isas(), "active_isa"_a = ops::active_isa(),
                  "threads"_a = get_num_threads(), "kernels"_a = ops::kernel_names());
}

static double measure_read(const Array<uint8_t>& data) {
  const auto bytes = flat(data);
  double rate = 0;
  released([&] { rate = ops::measure_read(bytes); });
  return rate;
}

void bind_runtime(py::module_& m) {
  m.def("cpu_info", &cpu_info);
  m.def("isas", &ops::isas);
  m.def("active_isa", &ops::active_isa);
  m.def("use_isa", &ops::use_isa, "name"_a);
  m.def("last_kernel", &ops::last_kernel);
  m.def("get_num_threads", &get_num_threads);
  m.def("set_num_threads", &set_num_threads, "count"_a);
  m.def("trim_memory", &trim_memory);
  m.def("measure_read", &measure_read, "data"_a.noconvert());
  m.def("measure_fma", &ops::measure_fma, py::call_guard<py::gil_scoped_release>());
  m.def("measure_pairs", &ops::measure_pairs, py::call_guard<py::gil_scoped_release>());
  m.def("measure_bytes", &ops::measure_bytes, py::call_guard<py::gil_scoped_release>());
  m.def("measure_bf16_tiles", &ops::measure_bf16_tiles, py::call_guard<py::gil_scoped_release>());
  m.def("measure_byte_tiles", &ops::measure_byte_tiles, py::call_guard<py::gil_scoped_release>());
}

}  // namespace lowbit::bindings
