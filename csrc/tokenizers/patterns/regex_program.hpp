// A regular expression as instructions for the backtracking matcher.
#pragma once

#include <vector>

#include "tokenizers/patterns/regex_class.hpp"
#include "tokenizers/patterns/regex_parse.hpp"

namespace lowbit::tokenizers::regex {

enum class Op : uint8_t {
  kOne,     // one character of the class
  kRun,     // as many as there are of them, from least to most, and fewer when what follows fails
  kSplit,   // go on at `next`, or else at `other`; at `other` alone when `guarded` and the next
            // character is none of the class
  kJump,
  kAnchor,
  kPeek,  // the next character is one of the class, or is not
  kPeekBack,
  kAhead,   // the instructions from `other` to their kMatch match here, or do not
  kAtomic,  // the same; goes on where they end
  kMatch,
};

struct Instruction {
  Op op;
  bool negative = false;
  bool possessive = false;  // of kRun: never fewer
  bool guarded = false;
  uint32_t next = 0, other = 0;
  uint32_t next_if_moved = 0;  // of kAtomic, when it has matched more than nothing
  uint32_t points = 0;         // which of the tests
  uint32_t argument = 0;       // an Anchor, or the slot of a kSplit or kRun (see Program)
  int least = 0, most = kNoLimit;
};

struct Program {
  std::vector<Instruction> code;
  std::vector<PointTest> tests;
  uint32_t splits = 0, runs = 0;  // slots in which the matcher remembers what has failed
  bool may_start_anywhere = true;
  uint32_t starts = 0;  // else a match starts with a character of this class
};

Program compile(const Node& tree);

}  // namespace lowbit::tokenizers::regex
