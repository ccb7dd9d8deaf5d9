// A character as the number that its UTF-8 makes, first byte highest: ordered as code points are.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

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

// A value for each character, Value() at first; those of one byte are not hashed.
template <class Value>
class CharacterMap {
 public:
  Value& operator[](Packed character) {
    return (character & 0xffffff) == 0 ? bytes_[character >> 24] : others_[character];
  }

  // Those whose value is not Value(), and all longer ones that were asked for.
  std::vector<Packed> characters() const {
    std::vector<Packed> characters;
    for (Packed byte = 0; byte < bytes_.size(); ++byte)
      if (bytes_[byte] != Value()) characters.push_back(byte << 24);
    for (const auto& [character, value] : others_) characters.push_back(character);
    return characters;
  }

 private:
  std::array<Value, 256> bytes_{};
  std::unordered_map<Packed, Value> others_;
};

}  // namespace lowbit::tokenizers
