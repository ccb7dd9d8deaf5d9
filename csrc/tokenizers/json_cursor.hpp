// Walks through the text of a JSON file. It takes what files in order have and no more: every
// method returns false or nothing at what it does not take, and the caller leaves the file to a
// reader that says what is wrong with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lowbit::tokenizers {

class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text, size_t at = 0) : text_(text), at_(at) {}

  size_t place() const { return at_; }

  // The next character that is no white space, or 0 at the end.
  char peek() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char wanted) {
    if (peek() != wanted || at_ == text_.size()) return false;
    ++at_;
    return true;
  }

  // Appends a string. Its bytes are not checked to be UTF-8, which is done sooner for the whole.
  bool string(std::string& out);
  // A string without escapes.
  std::optional<std::string_view> plain_string();
  // An integer without sign of up to 18 digits.
  std::optional<int64_t> natural();
  // The characters of a number.
  std::optional<std::string_view> number();
  // Passes over a value. Of one that is no JSON it may take any part.
  bool skip();

 private:
  static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
  bool escape(std::string& out);
  std::optional<uint32_t> four_digits();
  bool skip_string();

  std::string_view text_;
  size_t at_;
};

// The value of a number as the tokenizers library reads it, or nothing when it is too large: a
// number of its digits, divided by a power of ten, is not always the nearest, so that of the scores
// of a unigram model a quarter are off by the last bit, and of two ways to cut a word with equal
// sums another one wins.
std::optional<double> library_number(std::string_view digits);

}  // namespace lowbit::tokenizers
