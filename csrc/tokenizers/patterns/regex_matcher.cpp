#include "tokenizers/patterns/regex_matcher.hpp"

#include <algorithm>
#include <bit>

#include "tokenizers/classes.hpp"
#include "tokenizers/patterns/known.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers::regex {

namespace {
// Places whose failures are remembered: the more of them, the fewer are forgotten in long texts.
size_t most_rows(size_t words_per_row) {
  constexpr size_t kLeast = size_t{1} << 16, kWords = size_t{1} << 20;
  return std::max(kLeast, std::bit_floor(kWords / std::max<size_t>(words_per_row, 1)));
}
}  // namespace

Matcher::Matcher(const Program& program, std::string_view text)
    : program_(program),
      text_(text),
      failed_ends_(program.runs),
      words_per_row_((program.splits + 63) / 64),
      rows_(std::min(std::bit_ceil(text.size() + 1), most_rows(words_per_row_))) {}

size_t Matcher::match(size_t begin) {
  if (!program_.may_start_anywhere) {
    size_t next = begin;
    if (begin == text_.size() || !program_.tests[program_.starts](next_point(text_, next)))
      return kNone;
  }
  choices_.clear();
  size_t at = begin;
  return run(0, at) ? at : kNone;
}

// Follows the program from an instruction to its kMatch; `at` becomes the end of the match.
bool Matcher::run(uint32_t index, size_t& at) {
  const size_t floor = choices_.size();
  for (;;) {
    const Instruction& instruction = program_.code[index];
    if (instruction.op == Op::kMatch) {
      choices_.resize(floor);
      return true;
    }
    if (!step(instruction, index, at) && !backtrack(floor, index, at)) return false;
  }
}

bool Matcher::step(const Instruction& instruction, uint32_t& index, size_t& at) {
  switch (instruction.op) {
    case Op::kOne:
      if (at == text_.size() || !program_.tests[instruction.points](next_point(text_, at)))
        return false;
      break;
    case Op::kRun:
      if (!take_run(instruction, index, at)) return false;
      break;
    case Op::kSplit:
      return split(instruction, index, at);
    case Op::kAnchor:
      if (!anchor(static_cast<Anchor>(instruction.argument), at)) return false;
      break;
    case Op::kPeek:
      if (next_is(instruction, at) == instruction.negative) return false;
      break;
    case Op::kPeekBack:
      if (!peek_back(instruction, at)) return false;
      break;
    case Op::kAhead:
    case Op::kAtomic:
      return inner(instruction, index, at);
    case Op::kJump:
    case Op::kMatch:
      break;
  }
  index = instruction.next;
  return true;
}

// Goes on with the latest choice above `floor`.
bool Matcher::backtrack(size_t floor, uint32_t& index, size_t& at) {
  while (choices_.size() > floor) {
    Choice& choice = choices_.back();
    const Instruction& instruction = program_.code[choice.instruction];
    if (choice.kind == Choice::kOther) {
      choice.kind = Choice::kFailed;  // when the other way fails as well
      index = instruction.other;
      at = choice.at;
      return true;
    }
    if (choice.kind == Choice::kShorter && shorten(choice, index, at)) return true;
    if (choice.kind == Choice::kFailed) remember_failure(instruction.argument, choice.at);
    choices_.pop_back();
  }
  return false;
}

bool Matcher::split(const Instruction& instruction, uint32_t& index, size_t at) {
  if (instruction.guarded && !next_is(instruction, at)) {
    index = instruction.other;
    return true;
  }
  if (has_failed(instruction.argument, at)) return false;
  choices_.push_back({Choice::kOther, index, static_cast<uint32_t>(at), 0});
  index = instruction.next;
  return true;
}

bool Matcher::take_run(const Instruction& instruction, uint32_t index, size_t& at) {
  const PointTest& test = program_.tests[instruction.points];
  const FailedEnds failed = failed_ends_[instruction.argument];
  const bool limited = instruction.most != kNoLimit;
  size_t shortest = at;
  int count = 0;
  for (size_t next = at; next < text_.size() && (!limited || count < instruction.most); ++count) {
    // Between failed ends every character is one of the run's.
    if (!limited && count >= instruction.least && failed.contains(next) && next < failed.last) {
      at = next = failed.last;
      break;
    }
    if (!test(next_point(text_, next))) break;
    at = next;
    if (count + 1 == instruction.least) shortest = at;
  }
  if (count < instruction.least) return false;
  if (instruction.possessive) return true;
  if (failed.contains(at)) {
    if (shortest >= failed.first) return false;
    at = before(failed.first);
  }
  choices_.push_back({Choice::kShorter, index, static_cast<uint32_t>(at),
                      static_cast<uint32_t>(shortest)});
  return true;
}

// The run that ended at the choice's place has failed: ends it one character earlier.
bool Matcher::shorten(Choice& choice, uint32_t& index, size_t& at) {
  const Instruction& instruction = program_.code[choice.instruction];
  FailedEnds& failed = failed_ends_[instruction.argument];
  const bool joined = failed.first > choice.at && before(failed.first) == choice.at;
  failed = {choice.at, joined ? failed.last : choice.at};
  if (choice.at == choice.shortest) return false;
  choice.at = static_cast<uint32_t>(before(choice.at));
  index = instruction.next;
  at = choice.at;
  return true;
}

bool Matcher::inner(const Instruction& instruction, uint32_t& index, size_t& at) {
  size_t end = at;
  const bool there = run(instruction.other, end);
  if (there == instruction.negative) return false;
  index = instruction.next;
  if (instruction.op == Op::kAtomic) {
    if (end > at) index = instruction.next_if_moved;
    at = end;
  }
  return true;
}

bool Matcher::anchor(Anchor anchor, size_t at) const {
  switch (anchor) {
    case Anchor::kLineStart:
      return at == 0 || (text_[at - 1] == '\n' && at < text_.size());
    case Anchor::kLineEnd:
      return at == text_.size() || text_[at] == '\n';
    case Anchor::kTextStart:
      return at == 0;
    case Anchor::kTextEnd:
      return at == text_.size();
    case Anchor::kLastLineEnd:
      return at == text_.size() || (at + 1 == text_.size() && text_[at] == '\n');
    default: {
      const bool edge = (at > 0 && is_word(before(at))) != (at < text_.size() && is_word(at));
      return edge == (anchor == Anchor::kWordEdge);
    }
  }
}

bool Matcher::is_word(size_t at) const { return class_set(next_point(text_, at)) & kWordCharacter; }

bool Matcher::next_is(const Instruction& instruction, size_t at) const {
  return at < text_.size() && program_.tests[instruction.points](next_point(text_, at));
}

bool Matcher::peek_back(const Instruction& instruction, size_t at) const {
  bool there = false;
  if (at > 0) {
    size_t previous = before(at);
    there = program_.tests[instruction.points](next_point(text_, previous));
  }
  return there != instruction.negative;
}

size_t Matcher::before(size_t at) const {
  do --at;
  while (!starts_point(text_[at]));
  return at;
}

bool Matcher::has_failed(uint32_t slot, size_t at) const {
  const size_t row = at & (rows_ - 1);
  if (row_places_.empty() || row_places_[row] != at + 1) return false;
  return failed_[row * words_per_row_ + slot / 64] >> (slot % 64) & 1;
}

void Matcher::remember_failure(uint32_t slot, size_t at) {
  if (row_places_.empty()) {
    row_places_.resize(rows_);
    failed_.resize(rows_ * words_per_row_);
  }
  const size_t row = at & (rows_ - 1);
  uint64_t* words = failed_.data() + row * words_per_row_;
  if (row_places_[row] != at + 1) {
    row_places_[row] = static_cast<uint32_t>(at + 1);
    std::fill_n(words, words_per_row_, 0);
  }
  words[slot / 64] |= uint64_t{1} << (slot % 64);
}

class RegexPattern final : public Pattern {
 public:
  explicit RegexPattern(std::string_view expression) : program_(compile(parse(expression))) {}

  void find(std::string_view text, std::vector<Span>& matches) const override {
    Matcher matcher(program_, text);
    size_t last = Matcher::kNone;  // where the last match ended
    for (size_t at = 0; at <= text.size() && !text.empty();) {
      const size_t end = matcher.match(at);
      if (end != Matcher::kNone && (end > at || at != last)) {
        matches.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(end)});
        at = last = end;
      } else if (at < text.size()) {
        next_point(text, at);
      } else {
        break;
      }
    }
  }

 private:
  Program program_;
};

}  // namespace lowbit::tokenizers::regex

namespace lowbit::tokenizers {

std::shared_ptr<const Pattern> compile_regex(std::string_view expression) {
  return std::make_shared<const regex::RegexPattern>(expression);
}

}  // namespace lowbit::tokenizers
