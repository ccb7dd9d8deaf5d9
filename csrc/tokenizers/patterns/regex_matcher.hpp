// Finds the matches of a program in a text by backtracking: the first alternative that leads to a
// match wins, as in Perl.
//
// Whether the rest of the program matches at a place depends on nothing but the instruction and the
// place. So what has failed once is remembered and not tried again, not even by attempts that start
// elsewhere, and time grows with the text and not exponentially. What is remembered of splits is a
// table of fixed size with one row per place, in which later places displace earlier ones.
#pragma once

#include <string_view>
#include <vector>

#include "tokenizers/patterns/regex_program.hpp"

namespace lowbit::tokenizers::regex {

class Matcher {
 public:
  Matcher(const Program& program, std::string_view text);

  static constexpr size_t kNone = SIZE_MAX;
  // The end of the match that starts at `begin`, or kNone.
  size_t match(size_t begin);

 private:
  // What to do when the path that is being followed fails.
  struct Choice {
    enum Kind : uint32_t { kOther, kFailed, kShorter } kind;
    uint32_t instruction;
    uint32_t at;
    uint32_t shortest;  // of kShorter: the nearest end of the run that is allowed
  };
  // For a run, the ends from which on the rest of the program is known to fail.
  struct FailedEnds {
    size_t first = 1, last = 0;
    bool contains(size_t at) const { return first <= at && at <= last; }
  };

  bool run(uint32_t instruction, size_t& at);
  bool step(const Instruction& instruction, uint32_t& index, size_t& at);
  bool backtrack(size_t floor, uint32_t& index, size_t& at);
  bool split(const Instruction& instruction, uint32_t& index, size_t at);
  bool take_run(const Instruction& instruction, uint32_t index, size_t& at);
  bool shorten(Choice& choice, uint32_t& index, size_t& at);
  bool inner(const Instruction& instruction, uint32_t& index, size_t& at);
  bool anchor(Anchor anchor, size_t at) const;
  bool is_word(size_t at) const;
  bool next_is(const Instruction& instruction, size_t at) const;
  bool peek_back(const Instruction& instruction, size_t at) const;
  size_t before(size_t at) const;

  bool has_failed(uint32_t slot, size_t at) const;
  void remember_failure(uint32_t slot, size_t at);

  const Program& program_;
  std::string_view text_;
  std::vector<Choice> choices_;
  std::vector<FailedEnds> failed_ends_;
  size_t words_per_row_, rows_;
  std::vector<uint64_t> failed_;      // bits of the splits, rows_ by words_per_row_
  std::vector<uint32_t> row_places_;  // the place that a row is about, plus one
};

}  // namespace lowbit::tokenizers::regex
