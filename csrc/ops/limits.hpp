// What this machine can do at most with the threads and the instruction set in use, measured: the
// ceilings that benchmarks hold kernels against. Every call takes some milliseconds and returns the
// best of a few tries.
#pragma once

#include "core/views.hpp"

namespace lowbit::ops {

double measure_read(VectorView<const uint8_t> data);  // bytes a second, all threads, each its share
double measure_fma();    // float operations a second: two for each multiply-add
double measure_pairs();  // the same for pairs of 16-bit integers that are summed in 32 bits
double measure_bytes();  // the same for four signed bytes
double measure_bf16_tiles();  // the same in matrix tiles of bfloat16, 0 where there are none
double measure_byte_tiles();  // the same in matrix tiles of bytes

}  // namespace lowbit::ops
