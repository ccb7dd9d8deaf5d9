// The text of a regular expression: reading it, its escapes, and errors that point into it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokenizers/patterns/regex_class.hpp"
#include "tokenizers/patterns/regex_parse.hpp"

namespace lowbit::tokenizers::regex {

class Input {
 public:
  explicit Input(std::string_view expression) : text_(expression) {}

  bool done() const { return place_ == text_.size(); }
  size_t place() const { return place_; }
  void go_back(size_t place) { place_ = place; }

  bool at(char expected) const { return !done() && text_[place_] == expected; }
  bool at(std::string_view expected) const { return text_.substr(place_).starts_with(expected); }
  bool take(char expected) { return at(expected) && (++place_, true); }
  bool take(std::string_view expected) {
    return at(expected) && (place_ += expected.size(), true);
  }
  uint32_t next();
  std::optional<int> number();  // decimal; more than fits is cut off at a million

  // What stands behind a backslash.
  std::optional<Anchor> anchor_escape();
  std::optional<PointSet> class_escape(bool in_brackets);
  uint32_t literal_escape();

  void require(bool holds, std::string_view rule) const {
    if (!holds) fail(rule);
  }
  [[noreturn]] void fail(std::string_view rule) const;

 private:
  PointSet property_escape(bool negative);
  uint32_t hexadecimal(int least, int most);

  std::string_view text_;
  size_t place_ = 0;
};

}  // namespace lowbit::tokenizers::regex
