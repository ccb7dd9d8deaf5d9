// Characters of any bytes: a byte that is no part of valid UTF-8 is a character of its own.
#pragma once

#include <cstdint>
#include <string_view>

namespace lowbit::tokenizers {

// The bytes of the character at `at`, which is before the end.
inline size_t atom_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t first = byte(0);
  if (first < 0xc2 || first > 0xf4) return 1;
  const size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (at + length > text.size()) return 1;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 1;
  const uint32_t start = uint32_t{first} << 8 | byte(1);
  const bool overlong = (start >= 0xe080 && start < 0xe0a0) || (start >= 0xf080 && start < 0xf090);
  const bool surrogate = start >= 0xeda0 && start <= 0xedbf;
  return overlong || surrogate || start > 0xf48f ? 1 : length;
}

inline size_t count_atoms(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += atom_length(text, at)) ++count;
  return count;
}

}  // namespace lowbit::tokenizers
