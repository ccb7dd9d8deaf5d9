// The words of a corpus as sorted numbers of characters, in which pieces are sought.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "tokenizers/training/word_counts.hpp"

namespace lowbit::tokenizers {

// Words in order, with a boundary before and behind each. What a word begins with like the one
// before is looked at in that one alone, so the words are a tree whose nodes are the other places:
// about half of all.
struct PieceText {
  static constexpr uint32_t kBoundary = 0;
  struct Segment {
    uint32_t begin, end;
    uint32_t shared;  // characters at its begin that the segment before has as well
    int64_t count;
  };
  // Some segments, of which the first shares nothing. Their number depends on the text alone.
  struct Part {
    size_t first, last;
  };
  std::vector<std::string> characters;  // characters[0] stands for the boundary
  std::vector<uint32_t> symbols;
  std::vector<Segment> segments;
  std::vector<Part> parts;

  // Calls use(place) for the places that are nodes of the tree.
  template <class Use>
  void for_nodes(Use&& use) const {
    for (const Segment& segment : segments)
      for (uint32_t place = segment.begin + segment.shared; place < segment.end; ++place)
        use(place);
  }
};

// As many characters as fit into a number, to be compared at once.
class CharacterDigits {
 public:
  CharacterDigits(const PieceText& text, uint32_t most)
      : bits_(static_cast<uint32_t>(std::bit_width(text.characters.size() - 1))),
        width_(std::min(63 / bits_, most)) {}

  uint32_t width() const { return width_; }

  // From `symbol` on, forwards or backwards, up to `most` characters or a boundary, behind which
  // all digits are those of the boundary.
  uint64_t read(const uint32_t* symbol, int step, uint32_t most) const {
    uint64_t digits = 0;
    uint32_t i = 0;
    for (; i < width_ && i < most && *symbol != PieceText::kBoundary; ++i, symbol += step)
      digits = digits << bits_ | *symbol;
    return i < width_ ? digits << bits_ * (width_ - i) : digits;
  }

  bool reaches_boundary(uint64_t digits) const {
    return (digits & ((uint64_t{1} << bits_) - 1)) == PieceText::kBoundary;
  }

 private:
  uint32_t bits_, width_;
};

// Words are cut at the rarest characters, those beyond `coverage` of all; but for `required` ones.
PieceText read_characters(const std::vector<CountedWord>& words, double coverage,
                          const std::vector<std::string>& required);

}  // namespace lowbit::tokenizers
