// How bytes are written in tokens: in GPT-2's alphabet, where those printable in Latin-1 stand for
// themselves, the 68 others for the code points from U+0100 on, in order (Radford et al., 2019); or
// as <0xXX>.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {

constexpr std::array<uint16_t, 256> make_byte_alphabet() {
  std::array<uint16_t, 256> points{};
  uint16_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    points[static_cast<size_t>(byte)] = printable ? static_cast<uint16_t>(byte) : next++;
  }
  return points;
}
inline constexpr std::array<uint16_t, 256> kByteAlphabet = make_byte_alphabet();

// The byte that a code point stands for, or -1.
inline int alphabet_byte(uint32_t point) {
  static constexpr auto kBytes = [] {
    std::array<int16_t, 0x144> bytes{};
    bytes.fill(-1);
    for (int byte = 0; byte < 256; ++byte) bytes[kByteAlphabet[static_cast<size_t>(byte)]] =
        static_cast<int16_t>(byte);
    return bytes;
  }();
  return point < kBytes.size() ? kBytes[point] : -1;
}

// The bytes that a text in the alphabet stands for; false when it has other characters.
inline bool to_bytes(std::string_view text, std::string& bytes) {
  for (size_t i = 0; i < text.size();) {
    const int byte = alphabet_byte(next_point(text, i));
    if (byte < 0) return false;
    bytes += static_cast<char>(byte);
  }
  return true;
}

// The byte that a token <0xXX> stands for, or -1. Readers of tokens take small letters as well.
inline int fallback_byte(std::string_view token, bool small_letters) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int byte = 0;
  for (const char c : token.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9', capital = c >= 'A' && c <= 'F';
    if (!digit && !capital && !(small_letters && c >= 'a' && c <= 'f')) return -1;
    byte = byte * 16 + (digit ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return byte;
}

}  // namespace lowbit::tokenizers
