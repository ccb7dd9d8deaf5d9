#include "tokenizers/classes.hpp"

namespace lowbit::tokenizers {

#include "tokenizers/tables/classes.inc"

namespace {

constexpr auto leaf_classes() {
  std::array<uint8_t, kLeafPoints> classes = {};
  for (size_t i = 0; i < classes.size(); ++i)
    classes[i] = static_cast<uint8_t>(kClassSets[kClassLeaves[i]]);
  return classes;
}

constexpr auto ascii_classes(const std::array<uint8_t, kLeafPoints>& leaves) {
  std::array<uint8_t, 256> classes = {};
  for (size_t byte = 0; byte < 0x80; ++byte)
    classes[byte] = leaves[kClassPages[byte / 64] * 64 + byte % 64];
  return classes;
}

}  // namespace

constexpr std::array<uint8_t, kLeafPoints> kLeafClasses = leaf_classes();
constexpr std::array<uint8_t, 256> kAsciiClasses = ascii_classes(kLeafClasses);

}  // namespace lowbit::tokenizers
