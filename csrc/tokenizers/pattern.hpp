// Regular expressions that cut a text into words.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace lowbit::tokenizers {

// Bytes begin to end of a text.
struct Span {
  uint32_t begin, end;
};

// Immutable, so that any number of threads may use one.
class Pattern {
 public:
  virtual ~Pattern() = default;

  // Appends the matches in order, leftmost first, without overlap; an empty one only where no other
  // ends. The text is valid UTF-8 of less than 4 GB; an empty one has no match.
  virtual void find(std::string_view text, std::vector<Span>& matches) const = 0;

  // Whether the matches of every text are all of it, and none of them is empty.
  virtual bool covers() const { return false; }
};

// A hand-written scanner where the expression is a known one, else a general engine whose time
// grows linearly with the text. Raises ArgumentError that names a construct it does not have.
std::shared_ptr<const Pattern> compile_pattern(std::string_view expression);

}  // namespace lowbit::tokenizers
