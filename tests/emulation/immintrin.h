// AVX-512 and AMX on a machine that has AVX2 only, for tests: the intrinsics of csrc/simd as
// plain functions on the compiler's own vector types. Found before the compiler's header when the
// library is built with -DLOWBIT_EMULATE=ON; never part of a normal build.
#pragma once

#include_next <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#if LOWBIT_ISA_avx512 || LOWBIT_ISA_amx
#include "emulated_avx512.h"
#if LOWBIT_ISA_amx
#include "emulated_amx.h"
#endif
#endif
