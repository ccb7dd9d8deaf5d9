// mxfp4 of the OCP Microscaling formats (v1.0, 2023): E2M1 numbers times a power of two, the
// exponent of the extreme less 2, stored as E8M0. On a tie a value takes the level nearer to zero,
// as in ggml; what is beyond 6 becomes 6. The standard shares a scale among 32.
#pragma once

#include "formats/levels.hpp"

namespace lowbit::LOWBIT_ISA {

inline constexpr LevelTable kMxfp4{
    {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f,  //
     0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f},
    {15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7, 7},
    15,         // ranks: no value takes the other zero
    0.5f,       // integers are exact
    true,       // ties to zero
    true,       // powers of two
    0x1p-127f,  // the least that E8M0 has
};

}  // namespace lowbit::LOWBIT_ISA
