// All entries of a vocabulary that a text begins with: a trie over bytes in one array (Aoe, 1989).
//
// The child of node n over byte b is node base(n) ^ b, when that node is labelled b. No two nodes
// have the same base, so the label tells whether the edge exists; a step is one load of 8 bytes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace lowbit::tokenizers {

class DoubleArray {
 public:
  static constexpr int32_t kNone = -1;

  struct Entry {
    std::string_view text;
    int32_t id;         // at least 0
    double weight = 1;  // how often it is met; nodes of frequent entries are put close together
  };
  // Of entries with the same text the last one counts; an empty text is left out.
  explicit DoubleArray(const std::vector<Entry>& entries);

  // Calls visit(length, id) for every length of which `text` and an entry share the beginning, from
  // 1 on; the id is kNone where the entry itself is longer. Callers that do without a branch on the
  // id save much, for it cannot be foreseen. Returns the last length.
  template <class Visit>
  size_t prefixes(std::string_view text, Visit&& visit) const {
    return prefixes(text, units_[0], visit);
  }

  // The same of what follows `beginning` in entries, where find_node(beginning) is `unit`.
  template <class Visit>
  size_t prefixes(std::string_view text, uint64_t unit, Visit&& visit) const {
    const uint64_t* units = units_.data();
    size_t length = 0;
    while (length < text.size()) {
      const auto byte = static_cast<uint8_t>(text[length]);
      unit = units[base(unit) ^ byte];
      if (label(unit) != byte) break;
      visit(++length, id(unit));
    }
    return length;
  }

  // The id of the entry equal to `text`, or kNone.
  int32_t find(std::string_view text) const { return id(find_node(text)); }

  // The node that `text` leads to; where no entry begins so, one without id or children: 0.
  uint64_t find_node(std::string_view text) const {
    uint64_t unit = units_[0];
    for (const char character : text) {
      const auto byte = static_cast<uint8_t>(character);
      unit = units_[base(unit) ^ byte];
      if (label(unit) != byte) return 0;
    }
    return unit;
  }

  size_t longest() const { return longest_; }  // bytes of the longest entry

 private:
  class Builder;

  // A unit: label in bits 0 to 7, id + 1 in 8 to 31 (0: no entry ends here), base in 32 to 63.
  static constexpr int kIdBits = 24;
  static uint8_t label(uint64_t unit) { return static_cast<uint8_t>(unit); }
  static int32_t id(uint64_t unit) {
    return static_cast<int32_t>(static_cast<uint32_t>(unit) >> 8) - 1;
  }
  static uint32_t base(uint64_t unit) { return static_cast<uint32_t>(unit >> 32); }

  std::vector<uint64_t> units_;  // a multiple of 256; the root first
  size_t longest_ = 0;
};

}  // namespace lowbit::tokenizers
