// The table of the instruction set this file is compiled for. One that only adds tiles to another,
// its LOWBIT_BASE, has that one's kernels beside its own; the others are their own base.
#include "kernels/table.hpp"

#include "simd/simd.hpp"

#define LOWBIT_STRING_OF(name) #name
#define LOWBIT_STRING(name) LOWBIT_STRING_OF(name)

#define KERNEL_AT_HOME(name, Args) void name(const Args&) noexcept;
#define KERNEL_ELSEWHERE(name, Args)

namespace lowbit::LOWBIT_BASE {
#define KERNEL KERNEL_AT_HOME
#define TILE_KERNEL KERNEL_ELSEWHERE
#include "kernels/kernels.def"
#undef KERNEL
}  // namespace lowbit::LOWBIT_BASE

namespace lowbit::LOWBIT_ISA {
#define KERNEL KERNEL_ELSEWHERE
#define TILE_KERNEL KERNEL_AT_HOME
#include "kernels/kernels.def"
#undef KERNEL

const KernelTable kernel_table = {
    LOWBIT_STRING(LOWBIT_ISA),
    kFastPairs,
    kTileSums,
#define KERNEL(name, Args) &LOWBIT_BASE::name,
#if LOWBIT_ISA_amx
#define TILE_KERNEL(name, Args) &name,
#else
#define TILE_KERNEL(name, Args) nullptr,
#endif
#include "kernels/kernels.def"
#undef KERNEL
};

}  // namespace lowbit::LOWBIT_ISA
