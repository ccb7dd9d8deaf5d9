// fp4 of bitsandbytes: a sign, two bits of exponent and one of mantissa, in an order of its own,
// scale = absmax. Twelfths of 0, 1/16, 8, 12, 4, 6, 2 and 3; then the same with a minus. On a tie a
// value takes the lower level; tiny positive values take the code of minus zero, which is zero.
#pragma once

#include "formats/levels.hpp"

namespace lowbit::LOWBIT_ISA {

inline constexpr LevelTable kFp4{
    {0.0f, 0.0625f / 12, 8.0f / 12, 1.0f, 4.0f / 12, 0.5f, 2.0f / 12, 0.25f,  //
     0.0f, -0.0625f / 12, -8.0f / 12, -1.0f, -4.0f / 12, -0.5f, -2.0f / 12, -0.25f},
    {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3},
    16,           // ranks
    1.0f / 96.0f,  // integers are exact, but for 1 of the smallest, which is a half
    false,        // ties to the lower level
    false,        // any scale
    1e-38f,
};

}  // namespace lowbit::LOWBIT_ISA
