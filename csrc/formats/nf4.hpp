// nf4, NormalFloat4 (QLoRA, Dettmers et al., 2023): the 16 quantiles of a normal distribution,
// scale = absmax. On a tie a value takes the lower level, as in bitsandbytes.
#pragma once

#include "formats/levels.hpp"

namespace lowbit::LOWBIT_ISA {

inline constexpr LevelTable kNf4{
    {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
     -0.28444138169288635f, -0.18477343022833334f, -0.09105003625154495f, 0.0f,
     0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
     0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    16,            // ranks
    1.0f / 127.0f,  // integers are off by at most 0.4 % of the largest
    false,         // ties to the lower level
    false,         // any scale
    1e-38f,
};

}  // namespace lowbit::LOWBIT_ISA
