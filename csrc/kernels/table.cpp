// The table of the instruction set this file is compiled for.
#include "kernels/table.hpp"

#include "simd/simd.hpp"

#define LOWBIT_STRING_OF(name) #name
#define LOWBIT_STRING(name) LOWBIT_STRING_OF(name)

namespace lowbit::LOWBIT_ISA {

#define KERNEL(name, Args) void name(const Args&) noexcept;
#include "kernels/kernels.def"
#undef KERNEL

const KernelTable kernel_table = {
    LOWBIT_STRING(LOWBIT_ISA),
    kFastPairs,
    kTileSums,
#define KERNEL(name, Args) &name,
#if !LOWBIT_ISA_amx
#define TILE_KERNEL(name, Args) nullptr,
#endif
#include "kernels/kernels.def"
#undef KERNEL
};

}  // namespace lowbit::LOWBIT_ISA
