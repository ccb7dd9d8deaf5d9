#include "tokenizers/trie.hpp"

#include "core/error.hpp"

namespace lowbit::tokenizers {

void Trie::insert(std::string_view text, int32_t id) {
  uint32_t node = 0;
  for (const char byte : text) {
    uint32_t next = child(node, static_cast<uint8_t>(byte));
    if (next == 0) {
      next = static_cast<uint32_t>(ids_.size());
      check(next < (1u << 24) - 1, "Tokenizer: the vocabulary has more than 16 million prefixes");
      ids_.push_back(kNone);
      add_edge((node << 8 | static_cast<uint8_t>(byte)) + 1, next);
    }
    node = next;
  }
  ids_[node] = id;
}

int32_t Trie::find(std::string_view text) const {
  uint32_t node = 0;
  for (const char byte : text)
    if ((node = child(node, static_cast<uint8_t>(byte))) == 0) return kNone;
  return ids_[node];
}

void Trie::add_edge(uint32_t key, uint32_t child) {
  if (2 * (edge_count_ + 1) > edges_.size()) {
    std::vector<Edge> old(2 * edges_.size());
    old.swap(edges_);
    mask_ = static_cast<uint32_t>(edges_.size() - 1);
    edge_count_ = 0;
    for (const Edge& edge : old)
      if (edge.key) add_edge(edge.key, edge.child);
  }
  uint32_t slot = hash(key) & mask_;
  while (edges_[slot].key) slot = (slot + 1) & mask_;
  edges_[slot] = {key, child};
  ++edge_count_;
}

}  // namespace lowbit::tokenizers
