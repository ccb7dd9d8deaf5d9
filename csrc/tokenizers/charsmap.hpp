// The precompiled character map of sentencepiece: which texts are replaced by which.
//
// Four bytes, little-endian, tell the size of a trie in the format of darts-clone; behind the trie
// are the replacements, each ended by a zero byte.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lowbit::tokenizers {

class CharsMap {
 public:
  // Replaces nothing.
  CharsMap() = default;
  // The blob of a normalizer; an empty one replaces nothing. A broken one raises ArgumentError, so
  // that no look-up can leave the trie.
  explicit CharsMap(std::string_view blob);

  struct Match {
    size_t length = 0;  // 0: nothing matches
    std::string_view replacement;
  };
  // The shortest and the longest entry that `text` begins with.
  Match shortest(std::string_view text) const { return find<true>(text); }
  Match longest(std::string_view text) const { return find<false>(text); }

  // Whether an ASCII character stays as it is when it is looked up alone; whether any entry starts
  // with it and another one.
  bool keeps(uint8_t character) const;
  bool starts_ascii_entry(uint8_t character) const;
  // Whether no entry holds this character of ASCII and another one. May say no where it is so.
  bool takes_alone(char character) const;
  // Whether any entry starts with this character; may say yes too often above U+FFFF.
  bool starts_entry(uint32_t point) const { return point >= kTold || starts_[point]; }

 private:
  // A unit of darts-clone: the label of the edge to it, the offset of its children, and whether an
  // entry ends at it; or a value, which has bit 31 set and so no label.
  static constexpr uint32_t kIsValue = 1u << 31;
  static uint32_t label(uint32_t unit) { return unit & (kIsValue | 255); }
  static bool has_value(uint32_t unit) { return unit >> 8 & 1; }
  static uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit >> 6) & 8); }

  template <bool shortest>
  Match find(std::string_view text) const {
    Match match;
    if (units_.empty()) return match;
    uint32_t place = offset(units_[0]);
    for (size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<uint8_t>(text[i]);
      place ^= byte;
      const uint32_t unit = units_[place];
      if (byte == 0 || label(unit) != byte) break;
      place ^= offset(unit);
      if (!has_value(unit)) continue;
      match = {i + 1, replacement(units_[place] & ~kIsValue)};
      if (shortest) break;
    }
    return match;
  }
  std::string_view replacement(uint32_t begin) const { return replacements_.data() + begin; }
  void check_trie() const;
  bool begins_entry(std::string_view text) const;

  static constexpr uint32_t kTold = 0x10000;
  std::vector<uint32_t> units_;  // a multiple of 256
  std::string replacements_;     // ends with a zero byte
  std::bitset<kTold> starts_;
};

}  // namespace lowbit::tokenizers
