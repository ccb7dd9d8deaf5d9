#include "tokenizers/unicode.hpp"

#include <algorithm>
#include <iterator>

#include "tokenizers/utf8_atoms.hpp"

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
  const bool numeral = point == 0xb2 || point == 0xb3 || point == 0xb9 ||
                       (point >= 0xbc && point <= 0xbe);  // which the engine of expressions takes
  if (numeral) return false;
  if (point == 0x200c || point == 0x200d) return true;
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
    const size_t length = atom_length(bytes, i);
    if (length == 1 && (bytes[i] & 0x80)) return false;
    i += length;
  }
  return true;
}

}  // namespace lowbit::tokenizers
