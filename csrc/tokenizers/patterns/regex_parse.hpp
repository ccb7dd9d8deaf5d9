// A regular expression as a tree.
//
// The syntax is that of Oniguruma with its Ruby rules, which the files of tokenizers are written
// for: ^ and $ are the ends of lines, (?m) lets the dot match newlines, and {n,m}+ is a repeated
// repeat, not a possessive one.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "tokenizers/patterns/regex_class.hpp"

namespace lowbit::tokenizers::regex {

enum class Kind {
  kPoints,  // one character of `points`
  kSequence,
  kChoice,
  kRepeat,
  kAtomic,  // what its child matches first, and nothing else
  kAhead,   // something follows that the child matches
  kBehind,  // the character before is one of the child's
  kAnchor,
};

enum class Anchor {
  kLineStart,
  kLineEnd,
  kTextStart,
  kTextEnd,
  kLastLineEnd,
  kWordEdge,
  kNoWordEdge,
};

inline constexpr int kNoLimit = -1;

struct Node {
  Kind kind = Kind::kSequence;  // an empty one matches nothing but the place
  std::vector<Node> children = {};
  PointSet points = {};
  int least = 0, most = kNoLimit;  // of a repeat
  bool lazy = false;
  bool negative = false;  // of kAhead and kBehind
  Anchor anchor = Anchor::kLineStart;
};

Node parse(std::string_view expression);

bool may_be_empty(const Node& node);

}  // namespace lowbit::tokenizers::regex
