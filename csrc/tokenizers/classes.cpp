#include "tokenizers/classes.hpp"

#include <array>

namespace lowbit::tokenizers {

#include "tokenizers/tables/classes.inc"

namespace {

constexpr auto ascii_classes() {
  std::array<uint8_t, 256> classes = {};
  for (uint32_t byte = 0; byte < 0x80; ++byte) {
    const uint32_t leaf = kClassPages[byte >> 6];
    classes[byte] = static_cast<uint8_t>(kClassSets[kClassLeaves[leaf * 64 + (byte & 63)]]);
  }
  return classes;
}

}  // namespace

constexpr std::array<uint8_t, 256> kAsciiClasses = ascii_classes();

}  // namespace lowbit::tokenizers
