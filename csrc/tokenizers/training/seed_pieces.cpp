#include "tokenizers/training/seed_pieces.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "tokenizers/training/packed_character.hpp"

namespace lowbit::tokenizers {
namespace {

// Sorts the places of a text by the characters that follow, up to the end of the word or to
// `max_length` of them. As many characters as fit are compared at once, as digits of a number.
class SuffixSorter {
 public:
  SuffixSorter(const PieceText& text, uint32_t max_length)
      : text_(text),
        max_length_(max_length),
        bits_(std::bit_width(text.characters.size() - 1)),
        width_(std::min<uint32_t>(63 / bits_, max_length)) {}

  std::vector<uint32_t> sort() const {
    // By their first characters, and then each of these by itself.
    std::vector<size_t> begin(text_.characters.size() + 1);
    for (const uint32_t symbol : text_.symbols)
      if (symbol != PieceText::kBoundary) ++begin[symbol + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    std::vector<Suffix> suffixes(begin.back());
    std::vector<size_t> next = begin;
    for (uint32_t at = 0; at < text_.symbols.size(); ++at)
      if (const uint32_t symbol = text_.symbols[at]; symbol != PieceText::kBoundary)
        suffixes[next[symbol]++] = {0, at};
    parallel_for(static_cast<int64_t>(text_.characters.size()), 1, [&](int64_t i, int64_t end) {
      for (; i < end; ++i) sort(suffixes.data() + begin[i], suffixes.data() + begin[i + 1], 0);
    });
    std::vector<uint32_t> order;
    order.reserve(suffixes.size());
    for (const Suffix& suffix : suffixes) order.push_back(suffix.place);
    return order;
  }

 private:
  struct Suffix {
    uint64_t digits;
    uint32_t place;
    bool operator<(const Suffix& other) const {
      return digits != other.digits ? digits < other.digits : place < other.place;
    }
  };

  // Behind the end of a word all digits are those of the boundary.
  uint64_t digits(uint32_t place, uint32_t skipped) const {
    const uint32_t* symbol = &text_.symbols[place + skipped];
    uint64_t digits = 0;
    uint32_t i = 0;
    for (; i < width_ && skipped + i < max_length_ && symbol[i] != PieceText::kBoundary; ++i)
      digits = digits << bits_ | symbol[i];
    return i < width_ ? digits << bits_ * (width_ - i) : digits;
  }

  // The first `skipped` characters of all suffixes are the same.
  void sort(Suffix* begin, Suffix* end, uint32_t skipped) const {
    for (Suffix* suffix = begin; suffix != end; ++suffix)
      suffix->digits = digits(suffix->place, skipped);
    std::sort(begin, end);
    if (skipped + width_ >= max_length_) return;
    const uint64_t last = (uint64_t{1} << bits_) - 1;
    for (Suffix* run = begin; run != end;) {
      Suffix* const next = std::find_if(run, end, [&](const Suffix& suffix) {
        return suffix.digits != run->digits;
      });
      if (next - run > 1 && (run->digits & last) != 0) sort(run, next, skipped + width_);
      run = next;
    }
  }

  const PieceText& text_;
  const uint32_t max_length_;
  const uint32_t bits_, width_;
};

// For each suffix in an order, how often those before it occur.
std::vector<int64_t> sum_counts(const PieceText& text, const std::vector<uint32_t>& order) {
  std::vector<int64_t> count_at(text.symbols.size()), sums(order.size() + 1);
  for (const PieceText::Segment& segment : text.segments)
    std::fill(&count_at[segment.begin], &count_at[segment.end], segment.count);
  for (size_t i = 0; i < order.size(); ++i) sums[i + 1] = sums[i] + count_at[order[i]];
  return sums;
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
               const std::vector<int64_t>& counts_before, uint32_t max_length)
      : text_(text), order_(order), counts_before_(counts_before), max_length_(max_length) {}

  // Of the suffixes from `first` to before `last`, which share no character with others.
  std::vector<SeedPiece> find_repeats(uint32_t first, uint32_t last) {
    for (uint32_t i = first; i < last; ++i) {
      const uint32_t shared = i == first ? 0 : shared_length(order_[i - 1], order_[i]);
      close_longer_than(shared, i);
      const uint32_t before = text_.symbols[order_[i] - 1];
      const uint32_t left = before == PieceText::kBoundary ? kMixed : before;
      const uint32_t length = suffix_length(order_[i]);
      if (open_.empty() || open_.back().length < length) {
        open_.push_back({length, i, left});
      } else if (open_.back().left != left) {
        open_.back().left = kMixed;
      }
    }
    close_longer_than(0, last);
    return std::move(repeats_);
  }

 private:
  static constexpr uint32_t kMixed = 0;
  struct Open {
    uint32_t length, begin;
    uint32_t left;  // the character before all occurrences, if it is the same
  };

  uint32_t suffix_length(uint32_t place) const {
    uint32_t length = 0;
    while (length < max_length_ && text_.symbols[place + length] != PieceText::kBoundary) ++length;
    return length;
  }
  uint32_t shared_length(uint32_t a, uint32_t b) const {
    uint32_t length = 0;
    const auto& symbols = text_.symbols;
    while (length < max_length_ && symbols[a + length] == symbols[b + length] &&
           symbols[a + length] != PieceText::kBoundary)
      ++length;
    return length;
  }

  // Closes the substrings that end before place `end` of the order.
  void close_longer_than(uint32_t length, uint32_t end) {
    while (!open_.empty() && open_.back().length > length) {
      const Open closed = open_.back();
      open_.pop_back();
      const int64_t count = counts_before_[end] - counts_before_[closed.begin];
      if (closed.length > 1 && count > 1 && closed.left == kMixed)
        repeats_.push_back({closed.begin, end, closed.length, count});
      if (open_.empty() || open_.back().length < length) {
        if (length > 0) open_.push_back({length, closed.begin, closed.left});
      } else if (open_.back().left != closed.left) {
        open_.back().left = kMixed;
      }
    }
  }

  const PieceText& text_;
  const std::vector<uint32_t>& order_;
  const std::vector<int64_t>& counts_before_;
  const uint32_t max_length_;
  std::vector<Open> open_;  // from short to long, each a prefix of the next
  std::vector<SeedPiece> repeats_;
};

// The most frequent characters that make up `coverage` of all.
std::vector<Packed> covering_characters(const std::vector<CountedWord>& words, double coverage,
                                        const std::vector<std::string>& required) {
  std::unordered_map<Packed, int64_t> counts;
  int64_t total = 0;
  for (const CountedWord& word : words)
    for (size_t at = 0; at < word.bytes.size(); total += word.count)
      counts[next_packed(word.bytes, at)] += word.count;
  for (const std::string& text : required)
    for (size_t at = 0; at < text.size();)
      counts[next_packed(text, at)] = std::numeric_limits<int64_t>::max();
  std::vector<Packed> kept;
  for (const auto& [character, count] : counts) kept.push_back(character);
  std::sort(kept.begin(), kept.end(), [&](Packed a, Packed b) {
    return counts[a] != counts[b] ? counts[a] > counts[b] : a < b;
  });
  int64_t covered = 0;
  size_t used = 0;
  for (; used < kept.size(); ++used) {
    const int64_t count = counts[kept[used]];
    if (count == std::numeric_limits<int64_t>::max()) continue;
    if (static_cast<double>(covered) >= coverage * static_cast<double>(total)) break;
    covered += count;
  }
  kept.resize(used);
  std::sort(kept.begin(), kept.end());
  return kept;
}

}  // namespace

PieceText read_characters(const std::vector<CountedWord>& words, double coverage,
                          const std::vector<std::string>& required) {
  PieceText text;
  text.characters.emplace_back();
  std::unordered_map<Packed, uint32_t> numbers;
  for (const Packed character : covering_characters(words, coverage, required)) {
    numbers[character] = static_cast<uint32_t>(text.characters.size());
    text.characters.push_back(unpack(character));
  }
  text.symbols.push_back(PieceText::kBoundary);
  for (const CountedWord& word : words) {
    auto close = [&, begin = static_cast<uint32_t>(text.symbols.size())]() mutable {
      const auto end = static_cast<uint32_t>(text.symbols.size());
      if (begin == end) return;
      text.segments.push_back({begin, end, word.count});
      text.symbols.push_back(PieceText::kBoundary);
      begin = end + 1;
    };
    for (size_t at = 0; at < word.bytes.size();) {
      const auto number = numbers.find(next_packed(word.bytes, at));
      if (number == numbers.end()) {
        close();
      } else {
        text.symbols.push_back(number->second);
      }
    }
    close();
    check(text.symbols.size() < UINT32_MAX / 2,
          "UnigramTrainer: the distinct words have more than ", UINT32_MAX / 2,
          " characters: train on a part of them");
  }
  return text;
}

SeedPieces find_seed_pieces(const PieceText& text, int64_t limit, int64_t max_length) {
  const auto length = static_cast<uint32_t>(max_length);
  SeedPieces seeds;
  seeds.order = SuffixSorter(text, length).sort();
  const std::vector<int64_t> counts_before = sum_counts(text, seeds.order);
  seeds.pieces = find_characters(text, seeds.order, counts_before);
  std::vector<std::vector<SeedPiece>> found(seeds.pieces.size());  // by first character
  parallel_for(static_cast<int64_t>(found.size()), 1, [&](int64_t i, int64_t end) {
    for (; i < end; ++i)
      found[i] = RepeatFinder(text, seeds.order, counts_before, length)
                     .find_repeats(seeds.pieces[i].begin, seeds.pieces[i].end);
  });
  std::vector<SeedPiece> repeats;
  for (const auto& some : found) repeats.insert(repeats.end(), some.begin(), some.end());
  const auto covers_more = [](const SeedPiece& a, const SeedPiece& b) {
    const double x = static_cast<double>(a.count) * a.length;
    const double y = static_cast<double>(b.count) * b.length;
    return x != y ? x > y : a.begin != b.begin ? a.begin < b.begin : a.length < b.length;
  };
  std::sort(repeats.begin(), repeats.end(), covers_more);
  if (static_cast<int64_t>(repeats.size()) > limit) repeats.resize(limit);
  seeds.pieces.insert(seeds.pieces.end(), repeats.begin(), repeats.end());
  return seeds;
}

}  // namespace lowbit::tokenizers
