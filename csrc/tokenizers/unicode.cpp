#include "tokenizers/unicode.hpp"

#include <algorithm>
#include <iterator>

namespace lowbit::tokenizers {
namespace {

#include "tokenizers/tables/bert.inc"

template <size_t points, size_t begins, size_t mapped>
std::span<const uint32_t> mapping(const uint32_t (&keys)[points], const uint16_t (&begin)[begins],
                                  const uint32_t (&values)[mapped], uint32_t point) {
  const uint32_t* found = std::lower_bound(std::begin(keys), std::end(keys), point);
  if (found == std::end(keys) || *found != point) return {};
  const auto at = found - std::begin(keys);
  return {values + begin[at], values + begin[at + 1]};
}

}  // namespace

uint8_t bert_flags(uint32_t point) { return kPages[kPageOf[point >> 8]][point & 0xff]; }

bool is_word_character(uint32_t point) {
  return kWordPages[kWordPageOf[point >> 8]][(point & 0xff) >> 3] >> (point & 7) & 1;
}

uint8_t combining_class(uint32_t point) {
  const uint32_t* found =
      std::lower_bound(std::begin(kCombiningPoints), std::end(kCombiningPoints), point);
  if (found == std::end(kCombiningPoints) || *found != point) return 0;
  return kCombiningClass[found - std::begin(kCombiningPoints)];
}

std::span<const uint32_t> lowercase(uint32_t point) {
  return mapping(kLowerPoints, kLowerBegins, kLowerMapped, point);
}

std::span<const uint32_t> decompose(uint32_t point, uint32_t (&buffer)[3]) {
  // Hangul syllables by arithmetic (The Unicode Standard, section 3.12).
  if (point >= 0xac00 && point <= 0xd7a3) {
    const uint32_t index = point - 0xac00;
    buffer[0] = 0x1100 + index / 588;
    buffer[1] = 0x1161 + index % 588 / 28;
    buffer[2] = 0x11a7 + index % 28;
    return {buffer, index % 28 ? size_t{3} : size_t{2}};
  }
  return mapping(kDecomposedPoints, kDecomposedBegins, kDecomposedMapped, point);
}

bool is_utf8(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const auto first = static_cast<uint8_t>(bytes[i]);
    const size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3
                          : first < 0xf5 ? 4 : 0;
    if (length == 0 || i + length > bytes.size()) return false;
    for (size_t k = 1; k < length; ++k)
      if (starts_point(bytes[i + k])) return false;
    const size_t begin = i;
    const uint32_t point = next_point(bytes, i);
    const bool shortest = length < 3 || point >= (length == 3 ? 0x800u : 0x10000u);
    if (!shortest || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    i = begin + length;
  }
  return true;
}

}  // namespace lowbit::tokenizers
