#include "tokenizers/training/seed_pieces.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/threads.hpp"

namespace lowbit::tokenizers {
namespace {

// Sorts the nodes of a text by the characters up to them, read backwards, to the begin of the word
// or `max_length` of them.
class NodeSorter {
 public:
  NodeSorter(const PieceText& text, uint32_t max_length)
      : text_(text), max_length_(max_length), digits_(text, max_length) {}

  std::vector<uint32_t> sort() const {
    // By their last characters, and then each of these by itself.
    std::vector<size_t> begin(text_.characters.size() + 1);
    text_.for_nodes([&](uint32_t place) { ++begin[text_.symbols[place] + 1]; });
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    std::vector<Node> nodes(begin.back());
    std::vector<size_t> next = begin;
    text_.for_nodes([&](uint32_t place) { nodes[next[text_.symbols[place]]++] = {0, place}; });
    parallel_for(static_cast<int64_t>(text_.characters.size()), 1, [&](int64_t i, int64_t end) {
      for (; i < end; ++i) sort(nodes.data() + begin[i], nodes.data() + begin[i + 1], 0);
    });
    std::vector<uint32_t> order;
    order.reserve(nodes.size());
    for (const Node& node : nodes) order.push_back(node.place);
    return order;
  }

 private:
  struct Node {
    uint64_t digits;
    uint32_t place;
    bool operator<(const Node& other) const {
      return digits != other.digits ? digits < other.digits : place < other.place;
    }
  };

  // The last `skipped` characters of all are the same.
  void sort(Node* begin, Node* end, uint32_t skipped) const {
    for (Node* node = begin; node != end; ++node)
      node->digits =
          digits_.read(&text_.symbols[node->place - skipped], -1, max_length_ - skipped);
    std::sort(begin, end);
    if (skipped + digits_.width() >= max_length_) return;
    for (Node* run = begin; run != end;) {
      Node* const next =
          std::find_if(run, end, [&](const Node& node) { return node.digits != run->digits; });
      if (next - run > 1 && !digits_.reaches_boundary(run->digits))
        sort(run, next, skipped + digits_.width());
      run = next;
    }
  }

  const PieceText& text_;
  const uint32_t max_length_;
  const CharacterDigits digits_;
};

// For each node in an order, how often those before it occur.
std::vector<int64_t> sum_counts(const PieceText& text, const std::vector<uint32_t>& order) {
  std::vector<int64_t> count_at(text.symbols.size()), sums(order.size() + 1);
  std::vector<int64_t> open;  // by depth, of the words behind that have the node too
  for (size_t i = text.segments.size(); i-- > 0;) {
    const PieceText::Segment& segment = text.segments[i];
    const uint32_t length = segment.end - segment.begin;
    open.resize(std::max<size_t>(open.size(), length + 1));
    int64_t count = segment.count;
    for (uint32_t depth = length; depth > segment.shared; --depth)
      count_at[segment.begin + depth - 1] = count += std::exchange(open[depth], 0);
    open[segment.shared] += count;
  }
  for (size_t i = 0; i < order.size(); ++i) sums[i + 1] = sums[i] + count_at[order[i]];
  return sums;
}

// For each node, the character that always follows; the boundary where several do, or none.
std::vector<uint32_t> find_followers(const PieceText& text) {
  std::vector<uint32_t> followers(text.symbols.size());
  std::vector<uint32_t> path;  // the nodes of a word
  for (const PieceText::Segment& segment : text.segments) {
    if (segment.shared > 0) followers[path[segment.shared - 1]] = PieceText::kBoundary;
    path.resize(segment.shared);
    for (uint32_t place = segment.begin + segment.shared; place < segment.end; ++place) {
      path.push_back(place);
      followers[place] = text.symbols[place + 1];
    }
  }
  return followers;
}

std::vector<SeedPiece> find_characters(const PieceText& text, const std::vector<uint32_t>& order,
                                       const std::vector<int64_t>& counts_before) {
  std::vector<SeedPiece> pieces;
  for (uint32_t begin = 0, end; begin < order.size(); begin = end) {
    const uint32_t symbol = text.symbols[order[begin]];
    for (end = begin; end < order.size() && text.symbols[order[end]] == symbol;) ++end;
    pieces.push_back({begin, end, 1, counts_before[end] - counts_before[begin]});
  }
  return pieces;
}

// Walks over the substrings that share a set of occurrences, as the nodes of a suffix tree do.
class RepeatFinder {
 public:
  RepeatFinder(const PieceText& text, const std::vector<uint32_t>& order,
               const std::vector<int64_t>& counts_before, const std::vector<uint32_t>& followers,
               uint32_t max_length)
      : text_(text),
        order_(order),
        counts_before_(counts_before),
        followers_(followers),
        max_length_(max_length) {}

  // Of the nodes from `first` to before `last`, which share no character with others.
  std::vector<SeedPiece> find_repeats(uint32_t first, uint32_t last) {
    for (uint32_t i = first; i < last; ++i) {
      close_longer_than(i == first ? 0 : shared_length(order_[i - 1], order_[i]), i);
      const uint32_t follower = followers_[order_[i]];
      const uint32_t length = this->length(order_[i]);
      if (open_.empty() || open_.back().length < length) {
        open_.push_back({length, i, follower});
      } else if (open_.back().follower != follower) {
        open_.back().follower = kMixed;
      }
    }
    close_longer_than(0, last);
    return std::move(repeats_);
  }

 private:
  static constexpr uint32_t kMixed = PieceText::kBoundary;
  struct Open {
    uint32_t length, begin;
    uint32_t follower;  // the character behind all occurrences, if it is the same
  };

  uint32_t length(uint32_t place) const {
    uint32_t length = 0;
    while (length < max_length_ && text_.symbols[place - length] != PieceText::kBoundary) ++length;
    return length;
  }
  uint32_t shared_length(uint32_t a, uint32_t b) const {
    uint32_t length = 0;
    const auto& symbols = text_.symbols;
    while (length < max_length_ && symbols[a - length] == symbols[b - length] &&
           symbols[a - length] != PieceText::kBoundary)
      ++length;
    return length;
  }

  // Closes the substrings whose occurrences end before place `end` of the order.
  void close_longer_than(uint32_t length, uint32_t end) {
    while (!open_.empty() && open_.back().length > length) {
      const Open closed = open_.back();
      open_.pop_back();
      const int64_t count = counts_before_[end] - counts_before_[closed.begin];
      if (closed.length > 1 && count > 1 && closed.follower == kMixed)
        repeats_.push_back({closed.begin, end, closed.length, count});
      if (open_.empty() || open_.back().length < length) {
        if (length > 0) open_.push_back({length, closed.begin, closed.follower});
      } else if (open_.back().follower != closed.follower) {
        open_.back().follower = kMixed;
      }
    }
  }

  const PieceText& text_;
  const std::vector<uint32_t>& order_;
  const std::vector<int64_t>& counts_before_;
  const std::vector<uint32_t>& followers_;
  const uint32_t max_length_;
  std::vector<Open> open_;  // from short to long, each the end of the next
  std::vector<SeedPiece> repeats_;
};

}  // namespace

SeedPieces find_seed_pieces(const PieceText& text, int64_t limit, int64_t max_length) {
  const auto length = static_cast<uint32_t>(max_length);
  SeedPieces seeds;
  seeds.order = NodeSorter(text, length).sort();
  const std::vector<int64_t> counts_before = sum_counts(text, seeds.order);
  const std::vector<uint32_t> followers = find_followers(text);
  seeds.pieces = find_characters(text, seeds.order, counts_before);
  std::vector<std::vector<SeedPiece>> found(seeds.pieces.size());  // by last character
  parallel_for(static_cast<int64_t>(found.size()), 1, [&](int64_t i, int64_t end) {
    for (; i < end; ++i)
      found[i] = RepeatFinder(text, seeds.order, counts_before, followers, length)
                     .find_repeats(seeds.pieces[i].begin, seeds.pieces[i].end);
  });
  std::vector<SeedPiece> repeats;
  for (const auto& some : found) repeats.insert(repeats.end(), some.begin(), some.end());
  const auto covers_more = [](const SeedPiece& a, const SeedPiece& b) {
    const double x = static_cast<double>(a.count) * a.length;
    const double y = static_cast<double>(b.count) * b.length;
    return x != y ? x > y : a.begin != b.begin ? a.begin < b.begin : a.length < b.length;
  };
  if (static_cast<int64_t>(repeats.size()) > limit) {
    std::nth_element(repeats.begin(), repeats.begin() + limit, repeats.end(), covers_more);
    repeats.resize(limit);
  }
  // Pieces that are looked at one after the other lie in places that are near to each other.
  std::sort(repeats.begin(), repeats.end(), [&](const SeedPiece& a, const SeedPiece& b) {
    const uint32_t x = seeds.order[a.begin], y = seeds.order[b.begin];
    return x != y ? x < y : a.length < b.length;
  });
  seeds.pieces.insert(seeds.pieces.end(), repeats.begin(), repeats.end());
  return seeds;
}

}  // namespace lowbit::tokenizers
