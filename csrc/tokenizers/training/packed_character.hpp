// A character as the number that its UTF-8 makes, first byte highest: ordered as code points are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {

using Packed = uint32_t;

// The character at `at`, which is moved behind it. A stray byte is a character.
inline Packed next_packed(std::string_view word, size_t& at) {
  Packed packed = static_cast<Packed>(static_cast<uint8_t>(word[at++])) << 24;
  for (int shift = 16; shift >= 0 && at < word.size() && !starts_point(word[at]); shift -= 8)
    packed |= static_cast<Packed>(static_cast<uint8_t>(word[at++])) << shift;
  return packed;
}

inline std::string unpack(Packed packed) {
  std::string bytes(1, static_cast<char>(packed >> 24));
  for (packed <<= 8; packed != 0; packed <<= 8) bytes += static_cast<char>(packed >> 24);
  return bytes;
}

}  // namespace lowbit::tokenizers
