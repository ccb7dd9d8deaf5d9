// Where the set bits of a mask are, for instruction sets that cannot compress vectors.
#pragma once

#include <cstdint>

namespace lowbit::LOWBIT_ISA {

// Eight at a time, those too many to be overwritten, because how many there are is hard to predict.
inline int64_t list_bits(uint64_t bits, uint32_t base, uint32_t* places) {
  const int64_t count = __builtin_popcountll(bits);
  for (int64_t i = 0; i < count; i += 8)
    for (int64_t j = 0; j < 8; ++j, bits &= bits - 1)
      places[i + j] =
          base + static_cast<uint32_t>(__builtin_ctzll(bits | uint64_t{1} << 63));
  return count;
}

}  // namespace lowbit::LOWBIT_ISA
