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

// Classes of code points, a bit each.
enum PointClassBit { kLetterBit, kHardBit, kMarkBit, kUpperBit, kLowerBit, kHanBit, kPointBits };

// The classes of 64 code points whose numbers differ in the last six bits, a mask for each class.
struct PointPage {
  uint64_t bits[kPointBits];
};
// Beside the bits of classes: all code points that start with a byte are in these.
constexpr uint8_t kUniform = 0x80;

// Places of set bits are listed so many at a time, so that as many behind the last may be written.
constexpr int64_t kMorePlaces = 16;

}  // namespace lowbit
