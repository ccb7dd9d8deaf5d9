// The kernels of every instruction set, one table each.
#pragma once

#include "kernels/args.hpp"
#include "kernels/encoder_args.hpp"
#include "kernels/neighbour_args.hpp"
#include "kernels/table_args.hpp"
#include "kernels/vector_args.hpp"

namespace lowbit {

struct KernelTable {
  const char* isa;
  bool fast_int16;  // matmul_int16 beats matmul here
  int tile_sums;    // registers of 16 lanes that a probe multiplies in
#define KERNEL(name, Args) void (*name)(const Args&) noexcept;
#include "kernels/kernels.def"
#undef KERNEL
};

#define ISA(name, runs_here)           \
  namespace name {                     \
  extern const KernelTable kernel_table; \
  }
#include "core/isa.def"
#undef ISA

}  // namespace lowbit
