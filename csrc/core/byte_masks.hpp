// The classes of 64 bytes of a text as bit masks.
#pragma once

#include <cstdint>

namespace lowbit {

// Bytes that one mask is about.
constexpr int64_t kMaskBytes = 64;

// Bit i is about byte i. All but `high` are about ASCII.
struct ByteMasks {
  uint64_t letters, capitals, digits, spaces, whites, newlines, apostrophes;
  uint64_t high;  // bytes of code points beyond ASCII
};

// Places of set bits are listed so many at a time, so that as many behind the last may be written.
constexpr int64_t kMorePlaces = 16;

}  // namespace lowbit
