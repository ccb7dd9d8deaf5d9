// How compute="int8" rounds x.
#pragma once

#include <string>

#include "kernels/args.hpp"
#include "ops/matmul.hpp"

namespace lowbit::ops {

// Codes from low to high, of which zero_point stands for 0: value = (code - zero_point) * scale.
struct AffineCodes {
  float scale;
  int32_t zero_point, low, high;
};

// "block": a scale for every 128 to 256 columns of each row; "row": one for each row.
Int8Rounding choose_rounding(const char* function, const std::string& name);

// One scale for all of x. ArgumentError unless there are 255 codes at most, so that they fit the
// bytes -127..127: with -128, products of bytes would overflow 16 bits on AVX2.
Int8Rounding choose_rounding(const char* function, const AffineCodes& codes);

// ArgumentError when something was chosen and `compute` does not heed it.
void check_rounding(const char* function, const Int8Rounding& rounding, Compute compute);

}  // namespace lowbit::ops
