#include "tokenizers/charsmap.hpp"

#include "core/error.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {
namespace {

uint32_t little_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// The place of the first byte that is not UTF-8, or npos.
size_t first_invalid(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const auto first = static_cast<uint8_t>(text[at]);
    const size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || text.size() - at < length) return begin;
    for (size_t i = 1; i < length; ++i)
      if (starts_point(text[at + i])) return begin;
    const uint32_t point = next_point(text, at);
    const bool overlong = length > 2 && point < (length == 3 ? 0x800u : 0x10000u);
    if (overlong || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return begin;
  }
  return std::string_view::npos;
}

}  // namespace

CharsMap::CharsMap(std::string_view blob) {
  if (blob.empty()) return;
  check(blob.size() > 4, "charsmap: ", blob.size(), " bytes are too few for a size and a trie");
  const size_t size = little_endian(blob, 0);
  check(size >= 1024 && size % 1024 == 0 && size < blob.size() - 4, "charsmap: a trie of ", size,
        " bytes in ", blob.size(), " bytes; a smaller multiple of 1024 is expected");
  units_.resize(size / 4);
  for (size_t i = 0; i < units_.size(); ++i) units_[i] = little_endian(blob, 4 + 4 * i);
  replacements_ = blob.substr(4 + size);
  check(replacements_.back() == 0, "charsmap: the last replacement is not ended by a zero byte");
  const size_t invalid = first_invalid(replacements_);
  check(invalid == std::string_view::npos, "charsmap: byte ", 4 + size + invalid,
        " is not UTF-8");
  check_trie();
  std::string character;
  for (uint32_t point = 1; point < kTold; ++point) {
    character.clear();
    append_utf8(character, point);
    starts_[point] = begins_entry(character);
  }
}

// Whether an entry begins with the text, or ends within it.
bool CharsMap::begins_entry(std::string_view text) const {
  uint32_t place = offset(units_[0]);
  for (const char character : text) {
    const auto byte = static_cast<uint8_t>(character);
    const uint32_t unit = units_[place ^ byte];
    if (label(unit) != byte) return false;
    if (has_value(unit)) return true;
    place ^= byte ^ offset(unit);
  }
  return true;
}

// Children lie in one block of 256 units, so a block that begins inside the trie lies in it.
void CharsMap::check_trie() const {
  const auto inside = [&](size_t i) { return ((i ^ offset(units_[i])) | 255) < units_.size(); };
  check(label(units_[0]) == 0 && !has_value(units_[0]) && offset(units_[0]) != 0 && inside(0),
        "charsmap: unit 0 is not the root of a trie");
  for (size_t i = 1; i < units_.size(); ++i) {
    const uint32_t unit = units_[i];
    if (unit & kIsValue) {
      const size_t begin = unit & ~kIsValue;
      check(begin < replacements_.size() && starts_point(replacements_[begin]), "charsmap: unit ",
            i, " has replacement ", begin, ", where none begins");
    } else {
      check(inside(i), "charsmap: unit ", i, " leads out of the trie");
      check(!has_value(unit) || (units_[i ^ offset(unit)] & kIsValue), "charsmap: unit ", i,
            " lacks its value");
    }
  }
}

bool CharsMap::keeps(uint8_t character) const {
  const char text = static_cast<char>(character);
  const Match match = shortest({&text, 1});
  return match.length == 0 || match.replacement == std::string_view(&text, 1);
}

// A unit with the character's label is a child where its block begins; the other one that may be is
// any unit that leads to that block.
bool CharsMap::takes_alone(char character) const {
  if (units_.empty()) return true;
  const auto byte = static_cast<uint8_t>(character);
  const uint32_t root = offset(units_[0]);
  std::vector<bool> parents(units_.size());
  for (uint32_t i = 0; i < units_.size(); ++i)
    if (label(units_[i]) == byte && (i ^ byte) != root) parents[i ^ byte] = true;
  for (uint32_t i = 1; i < units_.size(); ++i)
    if (!(units_[i] & kIsValue) && units_[i] != 0 && parents[i ^ offset(units_[i])]) return false;
  if (label(units_[root ^ byte]) != byte) return true;
  const uint32_t place = root ^ byte ^ offset(units_[root ^ byte]);
  for (uint32_t next = 1; next < 256; ++next)
    if (label(units_[place ^ next]) == next) return false;
  return true;
}

bool CharsMap::starts_ascii_entry(uint8_t character) const {
  if (!starts_entry(character)) return false;
  uint32_t place = offset(units_[0]) ^ character;
  place ^= offset(units_[place]);
  for (uint32_t next = 1; next < 128; ++next)
    if (label(units_[place ^ next]) == next) return true;
  return false;
}

}  // namespace lowbit::tokenizers
