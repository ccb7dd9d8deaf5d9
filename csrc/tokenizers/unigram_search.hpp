// Viterbi's algorithm over the bytes of a word (Viterbi, 1967): private to the unigram model.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "tokenizers/unigram.hpp"

namespace lowbit::tokenizers {

// Bytes of the character that starts with this byte; broken text is taken byte by byte.
inline size_t character_length(std::string_view text, size_t at) {
  static constexpr uint8_t kLengths[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
  const size_t length = kLengths[static_cast<uint8_t>(text[at]) >> 4];
  return std::min(length, text.size() - at);
}

// Sums are of type Real, as the library whose model this is adds them. Wherever no token reaches
// across, what lies before is decided and its pieces are appended, so the table of sums stays as
// short as the longest stretch without such a point: a few cache lines for most texts. In a stretch
// that fills the table, all ways to its end mostly have their first part in common.
template <class Real, bool with_margin>
class UnigramSearch {
 public:
  // Pieces that are decided are taken away as ids from time to time, if `ids` is given.
  UnigramSearch(const Unigram& model, std::string_view word, std::vector<Piece>& pieces,
                IdBuffer* ids = nullptr)
      : model_(model), word_(word), pieces_(pieces), ids_(ids) {}
  // The table is left as it was found, or empty when an exception ended the search.
  ~UnigramSearch() {
    if (!finished_ || nodes_.size() > kKeptNodes) std::vector<Node>().swap(nodes_);
  }
  UnigramSearch(const UnigramSearch&) = delete;
  UnigramSearch& operator=(const UnigramSearch&) = delete;

  // Returns the sum behind the word, which starts with `total`.
  Real run(Real total);

  bool met_unknown() const { return met_unknown_; }
  Margin margin() const;

 private:
  static constexpr Real kUnreached = -std::numeric_limits<Real>::infinity();
  static constexpr size_t kFirstNodes = 1 << 10, kKeptNodes = 1 << 15, kKeptPieces = 1 << 12;

  // The best way to a point of the word: its sum, and the length and id of its last token.
  struct Best {
    Real score = kUnreached;
    uint64_t step = 0;
  };
  struct BestAndNext : Best {
    Real second = kUnreached;  // the sum of the next best token that ends here
  };
  using Node = std::conditional_t<with_margin, BestAndNext, Best>;

  static void offer(Node& target, Real score, size_t length, int32_t id);
  static void reset(Node* from, Node* to);
  void settle(size_t length);
  Node* make_room(size_t here, size_t end);
  size_t shared_part(size_t here, size_t end) const;
  void append_pieces(size_t length);
  void take_away();

  const Unigram& model_;
  const std::string_view word_;
  std::vector<Piece>& pieces_;
  IdBuffer* const ids_;
  std::vector<Node>& nodes_ = scratch();  // unreached, but for those of the stretch in work
  size_t base_ = 0;                       // where nodes_[0] stands
  bool met_unknown_ = false, finished_ = false;
  Real gap_ = std::numeric_limits<Real>::infinity();
  Real reach_ = 0;
  size_t characters_ = 0;

  static std::vector<Node>& scratch() {
    thread_local std::vector<Node> nodes;
    return nodes;
  }
};

template <class Real, bool with_margin>
Real UnigramSearch<Real, with_margin>::run(Real total) {
  const size_t room = std::max<size_t>(model_.trie_.longest(), 4) + 1;
  const auto unknown = static_cast<Real>(model_.unknown_score_);
  const double* scores = model_.scores_.data();
  if (nodes_.size() < room) nodes_.resize(std::max(2 * room, kFirstNodes));
  nodes_[0].score = total;
  Node* node = nodes_.data();
  Node* frontier = node;  // no token reaches beyond
  for (size_t at = 0; at < word_.size();) {
    if (node == frontier) {
      settle(static_cast<size_t>(node - nodes_.data()));
      node = frontier = nodes_.data();
    } else if (nodes_.size() < static_cast<size_t>(node - nodes_.data()) + room) {
      const auto here = node - nodes_.data(), length = frontier - node;
      node = make_room(static_cast<size_t>(here), static_cast<size_t>(here + length));
      frontier = node + length;
    }
    if constexpr (std::is_same_v<Real, float>) reset(node, frontier);
    const Real here = node->score;
    const size_t length = character_length(word_, at);
    int32_t character = DoubleArray::kNone;
    const size_t longest = model_.trie_.prefixes(word_.substr(at), [&](size_t bytes, int32_t id) {
      character = bytes == length ? id : character;
      offer(node[bytes], here + static_cast<Real>(scores[id + 1]), bytes, id);
    });
    if (character == DoubleArray::kNone)
      offer(node[length], here + unknown, length, model_.options_.unknown_id);
    frontier = std::max(frontier, node + std::max(longest, length));
    if constexpr (with_margin) {
      reach_ = std::max(reach_, std::abs(here));
      ++characters_;
    }
    at += length;
    node += length;
  }
  settle(word_.size() - base_);
  const Real sum = nodes_[0].score;
  nodes_[0] = {};
  finished_ = true;
  return sum;
}

// Of equal sums the one met first stays: the longest last token.
template <class Real, bool with_margin>
inline void UnigramSearch<Real, with_margin>::offer(Node& target, Real score, size_t length,
                                                    int32_t id) {
  const bool better = score > target.score;
  if constexpr (with_margin) target.second = std::max(target.second, std::min(score, target.score));
  const uint64_t step = static_cast<uint64_t>(length) << 32 | static_cast<uint32_t>(id);
  target.score = better ? score : target.score;
  target.step ^= (target.step ^ step) & -uint64_t{better};
}

// Appends the pieces of the stretch of this length, which no token reaches across.
template <class Real, bool with_margin>
void UnigramSearch<Real, with_margin>::settle(size_t length) {
  const Real sum = nodes_[length].score;
  append_pieces(length);
  std::fill_n(nodes_.begin(), length + 1, Node{});
  nodes_[0].score = sum;
  base_ += length;
}

// Where the node `here` of a full table is then: pieces up to a point that all best ways share are
// appended, and the table, which ends at `end`, begins there; or it grows.
template <class Real, bool with_margin>
[[gnu::noinline]] auto UnigramSearch<Real, with_margin>::make_room(size_t here, size_t end)
    -> Node* {
  const size_t shared = shared_part(here, end);
  if (shared == 0) {
    nodes_.resize(2 * nodes_.size());
    return nodes_.data() + here;
  }
  append_pieces(shared);
  Node* left = std::copy(nodes_.data() + shared, nodes_.data() + end + 1, nodes_.data());
  std::fill(left, nodes_.data() + end + 1, Node{});
  base_ += shared;
  return nodes_.data() + (here - shared);
}

// The last point that the best ways to all nodes from `here` to `end` have in common; 0 when it is
// in the first half of the table.
template <class Real, bool with_margin>
size_t UnigramSearch<Real, with_margin>::shared_part(size_t here, size_t end) const {
  size_t shared = here;
  for (size_t at = here + 1; at <= end; ++at) {
    if (nodes_[at].score == kUnreached) continue;
    size_t other = at;
    while (shared != other) {
      size_t& later = shared > other ? shared : other;
      later -= nodes_[later].step >> 32;
      if (2 * later < nodes_.size()) return 0;
    }
  }
  return shared;
}

template <class Real, bool with_margin>
void UnigramSearch<Real, with_margin>::append_pieces(size_t length) {
  const auto first = static_cast<ptrdiff_t>(pieces_.size());
  for (size_t at = length; at > 0;) {
    const Node& last = nodes_[at];
    const auto id = static_cast<int32_t>(static_cast<uint32_t>(last.step));
    const auto end = static_cast<int32_t>(base_ + at);
    at -= last.step >> 32;
    pieces_.push_back({id, static_cast<int32_t>(base_ + at), end});
    met_unknown_ |= id == model_.options_.unknown_id;
    if constexpr (with_margin) gap_ = std::min(gap_, last.score - last.second);
  }
  std::reverse(pieces_.begin() + first, pieces_.end());
  if (ids_ && pieces_.size() > kKeptPieces) take_away();
}

// Unknown pieces wait for what may join them.
template <class Real, bool with_margin>
void UnigramSearch<Real, with_margin>::take_away() {
  if (pieces_.back().id == model_.options_.unknown_id) return;
  if (met_unknown_) model_.resolve_unknown(word_, 0, pieces_);
  append_ids(pieces_, *ids_);
  pieces_.clear();
  met_unknown_ = false;
}

// sentencepiece keeps its float32 sums small: it starts again from 0 where one has become large.
template <class Real, bool with_margin>
inline void UnigramSearch<Real, with_margin>::reset(Node* from, Node* to) {
  constexpr Real kLargest = 100000;
  const Real offset = from->score;
  if (std::abs(offset) <= kLargest) return;
  for (Node* node = from; node <= to; ++node)
    if (node->score != kUnreached) node->score -= offset;
}

template <class Real, bool with_margin>
Margin UnigramSearch<Real, with_margin>::margin() const {
  if (characters_ == 0) return {};
  return {static_cast<float>(gap_ / static_cast<Real>(characters_)),
          static_cast<float>(reach_ + model_.largest_score_)};
}

}  // namespace lowbit::tokenizers
