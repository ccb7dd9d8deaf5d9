// Longest match of a vocabulary: a trie over bytes whose edges live in one flat hash table.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace lowbit::tokenizers {

class Trie {
 public:
  static constexpr int32_t kNone = -1;

  Trie() : ids_(1, kNone), edges_(1024), mask_(1023) {}

  // Later insertions of the same text win.
  void insert(std::string_view text, int32_t id);

  struct Match {
    int32_t id = kNone;
    size_t length = 0;
  };
  // The longest entry that `text` begins with.
  Match longest(std::string_view text) const {
    Match best;
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<uint8_t>(text[i]));
      if (node == 0) break;
      if (ids_[node] != kNone) best = {ids_[node], i + 1};
    }
    return best;
  }
  // The entry equal to `text`, or kNone.
  int32_t find(std::string_view text) const;

 private:
  struct Edge {
    uint32_t key = 0;  // node << 8 | byte, plus 1 so that 0 is free
    uint32_t child = 0;
  };
  static uint32_t hash(uint32_t key) { return (key * 0x9E3779B1u) ^ (key >> 13); }
  uint32_t child(uint32_t node, uint8_t byte) const {
    const uint32_t key = (node << 8 | byte) + 1;
    for (uint32_t slot = hash(key) & mask_;; slot = (slot + 1) & mask_) {
      if (edges_[slot].key == key) return edges_[slot].child;
      if (edges_[slot].key == 0) return 0;
    }
  }
  void add_edge(uint32_t key, uint32_t child);

  std::vector<int32_t> ids_;  // by node; node 0 is the root
  std::vector<Edge> edges_;   // open addressing, at most half full
  uint32_t mask_;
  size_t edge_count_ = 0;
};

}  // namespace lowbit::tokenizers
