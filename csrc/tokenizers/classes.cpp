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

constexpr uint8_t bit_classes(uint8_t classes) {
  const auto bit = [](bool holds, PointClassBit place) { return holds ? 1 << place : 0; };
  return static_cast<uint8_t>(
      bit(classes & kLetter, kLetterBit) | bit(classes & (kSpace | kNumber), kHardBit) |
      bit(classes & kMark, kMarkBit) | bit(classes & kUpper, kUpperBit) |
      bit(classes & kLower, kLowerBit) | bit(classes & kHan, kHanBit));
}

constexpr auto point_pages(const std::array<uint8_t, kLeafPoints>& leaves) {
  std::array<PointPage, kLeafPoints / 64> pages = {};
  for (size_t i = 0; i < leaves.size(); ++i)
    for (int k = 0; k < kPointBits; ++k)
      pages[i / 64].bits[k] |= uint64_t{bit_classes(leaves[i]) >> k & 1u} << i % 64;
  return pages;
}

// Of first bytes of three.
constexpr auto uniform_leads(const std::array<uint8_t, kLeafPoints>& leaves) {
  std::array<uint8_t, 256> leads = {};
  for (size_t first = 0xe1; first < 0xf0; ++first) {
    const size_t begin = (first & 0x0f) << 12;
    const auto classes_of = [&](size_t point) {
      return bit_classes(leaves[kClassPages[point / 64] * 64 + point % 64]);
    };
    bool equal = true;
    for (size_t i = 0; i < 4096 && equal; ++i)
      equal = classes_of(begin + i) == classes_of(begin);
    if (equal) leads[first] = static_cast<uint8_t>(kUniform | classes_of(begin));
  }
  return leads;
}

}  // namespace

constexpr std::array<uint8_t, kLeafPoints> kLeafClasses = leaf_classes();
constexpr std::array<uint8_t, 256> kAsciiClasses = ascii_classes(kLeafClasses);
constexpr std::array<PointPage, kLeafPoints / 64> kPointPages = point_pages(kLeafClasses);
constexpr std::array<uint8_t, 256> kUniformLeads = uniform_leads(kLeafClasses);

}  // namespace lowbit::tokenizers
