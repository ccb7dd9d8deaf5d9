#include "core/cpu.hpp"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace lowbit {
namespace {

#if defined(__x86_64__)

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
  if (!__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx)) return {};
  return r;
}

bool bit(uint32_t word, int index) { return (word >> index) & 1; }

// XCR0: which register files the operating system saves on a context switch.
uint64_t enabled_state() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

// Linux hands out the 8 kB tile state only on request; a sandbox may refuse, which is no error.
bool request_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

std::string brand() {
  if (cpuid(0x80000000u).eax < 0x80000004u) return "x86-64";
  char text[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002u + i);
    std::memcpy(text + 16 * i, &r, 16);
  }
  std::string name(text);
  const size_t first = name.find_first_not_of(' ');
  const size_t last = name.find_last_not_of(' ');
  return first == std::string::npos ? "x86-64" : name.substr(first, last - first + 1);
}

CpuFeatures detect() {
  CpuFeatures cpu;
  cpu.model = brand();
  const Registers one = cpuid(1);
  if (!bit(one.ecx, 27)) return cpu;  // no OSXSAVE: the vector state is not saved
  const uint64_t state = enabled_state();
  const bool ymm = (state & 0x6) == 0x6;
  const bool zmm = (state & 0xe6) == 0xe6;
  const bool tiles = (state & 0x60000) == 0x60000;
  const Registers seven = cpuid(7);
  const Registers seven_one = cpuid(7, 1);
  cpu.fma = ymm && bit(one.ecx, 12);
  cpu.f16c = ymm && bit(one.ecx, 29);
  cpu.avx2 = ymm && bit(seven.ebx, 5);
  cpu.avx512 = zmm && bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) &&
               bit(seven.ebx, 31);
  cpu.avx512_vnni = cpu.avx512 && bit(seven.ecx, 11);
  cpu.avx512_bf16 = cpu.avx512 && bit(seven_one.eax, 5);
  if (tiles && bit(seven.edx, 24) && request_tiles()) {
    cpu.amx_bf16 = bit(seven.edx, 22);
    cpu.amx_int8 = bit(seven.edx, 25);
  }
#if LOWBIT_EMULATE
  cpu.emulated = true;
  cpu.avx512 = cpu.avx512_vnni = cpu.avx512_bf16 = cpu.amx_bf16 = cpu.amx_int8 = cpu.avx2;
#endif
  return cpu;
}

#elif defined(__aarch64__)

CpuFeatures detect() {
  CpuFeatures cpu;
  cpu.model = "aarch64";
  cpu.neon = true;
#if defined(__linux__)
  constexpr unsigned long kDotProduct = 1ul << 20, kInt8Matrix = 1ul << 13;
  cpu.dotprod = (getauxval(AT_HWCAP) & kDotProduct) != 0;
  cpu.i8mm = (getauxval(AT_HWCAP2) & kInt8Matrix) != 0;
#endif
  return cpu;
}

#else

CpuFeatures detect() { return {}; }

#endif

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace lowbit
