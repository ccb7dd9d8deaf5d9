#include "ops/dispatch.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "core/cpu.hpp"
#include "core/error.hpp"
#include "core/threads.hpp"

namespace lowbit::ops {
namespace {

struct IsaEntry {
  const char* name;
  const KernelTable* table;  // null when it is not compiled in
  bool runs_here;
};

#define ISA(name, runs_here) LOWBIT_ENTRY_##name(runs_here)
#if LOWBIT_HAVE_scalar
#define LOWBIT_ENTRY_scalar(runs_here) {"scalar", &scalar::kernel_table, runs_here},
#else
#define LOWBIT_ENTRY_scalar(runs_here) {"scalar", nullptr, false},
#endif
#if LOWBIT_HAVE_avx2
#define LOWBIT_ENTRY_avx2(runs_here) {"avx2", &avx2::kernel_table, runs_here},
#else
#define LOWBIT_ENTRY_avx2(runs_here) {"avx2", nullptr, false},
#endif
#if LOWBIT_HAVE_avx512
#define LOWBIT_ENTRY_avx512(runs_here) {"avx512", &avx512::kernel_table, runs_here},
#else
#define LOWBIT_ENTRY_avx512(runs_here) {"avx512", nullptr, false},
#endif
#if LOWBIT_HAVE_amx
#define LOWBIT_ENTRY_amx(runs_here) {"amx", &amx::kernel_table, runs_here},
#else
#define LOWBIT_ENTRY_amx(runs_here) {"amx", nullptr, false},
#endif
#if LOWBIT_HAVE_neon
#define LOWBIT_ENTRY_neon(runs_here) {"neon", &neon::kernel_table, runs_here},
#else
#define LOWBIT_ENTRY_neon(runs_here) {"neon", nullptr, false},
#endif
#if LOWBIT_HAVE_neon_dot
#define LOWBIT_ENTRY_neon_dot(runs_here) {"neon_dot", &neon_dot::kernel_table, runs_here},
#else
#define LOWBIT_ENTRY_neon_dot(runs_here) {"neon_dot", nullptr, false},
#endif
#if LOWBIT_HAVE_neon_i8mm
#define LOWBIT_ENTRY_neon_i8mm(runs_here) {"neon_i8mm", &neon_i8mm::kernel_table, runs_here},
#else
#define LOWBIT_ENTRY_neon_i8mm(runs_here) {"neon_i8mm", nullptr, false},
#endif

const std::vector<IsaEntry>& entries() {
  static const std::vector<IsaEntry> list = [] {
    const CpuFeatures& cpu = cpu_features();
    (void)cpu;
    return std::vector<IsaEntry>{
#include "core/isa.def"
    };
  }();
  return list;
}
#undef ISA

const KernelTable* find(const std::string& name) {
  for (const IsaEntry& entry : entries())
    if (name == entry.name && entry.table && entry.runs_here) return entry.table;
  return nullptr;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// LOWBIT_ISA caps: the best instruction set that is not above the one named. An unknown name is
// reported once, since a silent full-speed run would hide the mistake.
const KernelTable* choose() {
  const char* cap = std::getenv("LOWBIT_ISA");
  const KernelTable* best = nullptr;
  bool known = !cap || !*cap;
  for (const IsaEntry& entry : entries()) {
    if (entry.table && entry.runs_here) best = entry.table;
    if (cap && std::string(cap) == entry.name) {
      known = true;
      break;
    }
  }
  if (!known)
    std::fprintf(stderr, "lowbit: LOWBIT_ISA=%s is not known; using %s (choose from: %s)\n", cap,
                 best->isa, joined(isas()).c_str());
  return best;
}

std::atomic<const KernelTable*> g_active{nullptr};
std::atomic<const char*> g_last_operation{nullptr}, g_last_isa{nullptr};

}  // namespace

const KernelTable& kernels() {
  const KernelTable* table = g_active.load(std::memory_order_acquire);
  if (!table) {
    table = choose();
    g_active.store(table, std::memory_order_release);
  }
  return *table;
}

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const IsaEntry& entry : entries())
    if (entry.table && entry.runs_here) names.push_back(entry.name);
  return names;
}

std::vector<std::string> compiled_isas() {
  std::vector<std::string> names;
  for (const IsaEntry& entry : entries())
    if (entry.table) names.push_back(entry.name);
  return names;
}

std::vector<std::string> kernel_names() {
  return {
#define KERNEL(name, Args) #name,
#include "kernels/kernels.def"
#undef KERNEL
  };
}

std::string active_isa() { return kernels().isa; }

void use_isa(const std::string& name) {
  const KernelTable* table = find(name);
  check(table != nullptr, "use_isa: \"", name, "\" does not run here; choose from: ",
        joined(isas()));
  g_active.store(table, std::memory_order_release);
}

bool Trace::verbose() {
  static const bool on = [] {
    const char* text = std::getenv("LOWBIT_VERBOSE");
    return text && *text && std::string(text) != "0";
  }();
  return on;
}

void Trace::record(const char* operation) {
  g_last_isa.store(kernels().isa, std::memory_order_relaxed);
  g_last_operation.store(operation, std::memory_order_release);
}

double Trace::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Trace::finish() {
  std::fprintf(stderr, "lowbit: %s%s %s threads=%d %.3f ms\n", operation_, text_.c_str(),
               kernels().isa, get_num_threads(), 1e3 * (now() - begin_));
}

std::string last_kernel() {
  const char* operation = g_last_operation.load(std::memory_order_acquire);
  return operation ? std::string(operation) + " " + g_last_isa.load() : std::string();
}

}  // namespace lowbit::ops
