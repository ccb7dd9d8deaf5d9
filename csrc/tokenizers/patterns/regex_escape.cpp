#include "tokenizers/patterns/regex_escape.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "tokenizers/classes.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers::regex {

void Input::fail(std::string_view rule) const {
  constexpr size_t kShown = 200;
  throw ArgumentError(message("compile_pattern: ", rule, " at byte ", place_,
                              " of the regular expression ", text_.substr(0, kShown),
                              text_.size() > kShown ? "..." : ""));
}

uint32_t Input::next() {
  require(!done(), "something is missing");
  return next_point(text_, place_);
}

std::optional<int> Input::number() {
  std::optional<int> value;
  for (; !done() && text_[place_] >= '0' && text_[place_] <= '9'; ++place_)
    value = std::min(value.value_or(0) * 10 + (text_[place_] - '0'), 1000000);
  return value;
}

std::optional<Anchor> Input::anchor_escape() {
  if (take('A')) return Anchor::kTextStart;
  if (take('z')) return Anchor::kTextEnd;
  if (take('Z')) return Anchor::kLastLineEnd;
  if (take('b')) return Anchor::kWordEdge;
  if (take('B')) return Anchor::kNoWordEdge;
  return {};
}

std::optional<PointSet> Input::class_escape(bool in_brackets) {
  const auto hex_digits = [] {
    return PointSet('0', '9').united({'A', 'F'}).united({'a', 'f'});
  };
  if (take('s')) return points_of(kSpace);
  if (take('S')) return points_of(kSpace).complement();
  if (take('d')) return points_of(kDecimal);
  if (take('D')) return points_of(kDecimal).complement();
  if (take('w')) return word_points(in_brackets);
  if (take('W')) return word_points(in_brackets).complement();
  if (take('h')) return hex_digits();
  if (take('H')) return hex_digits().complement();
  if (!in_brackets && take('N')) return PointSet('\n', '\n').complement();
  if (!in_brackets && take('O')) return PointSet(0, kLastPoint);
  if (take('p')) return property_escape(false);
  if (take('P')) return property_escape(true);
  return {};
}

PointSet Input::property_escape(bool negative) {
  if (!take('{')) {  // \pL
    const size_t start = place_;
    next();
    const PointSet points = property(text_.substr(start, place_ - start));
    return negative ? points.complement() : points;
  }
  if (take('^')) negative = !negative;
  const size_t start = place_;
  while (next() != '}') {
  }
  const PointSet points = property(text_.substr(start, place_ - 1 - start));
  return negative ? points.complement() : points;
}

uint32_t Input::hexadecimal(int least, int most) {
  uint32_t value = 0;
  int count = 0;
  for (; count < most && !done(); ++count, ++place_) {
    const char c = text_[place_];
    const int lower = c | 0x20;
    if (c >= '0' && c <= '9')
      value = value << 4 | static_cast<uint32_t>(c - '0');
    else if (lower >= 'a' && lower <= 'f')
      value = value << 4 | static_cast<uint32_t>(lower - 'a' + 10);
    else
      break;
  }
  require(count >= least && value <= kLastPoint, "no code point in hexadecimal");
  return value;
}

uint32_t Input::literal_escape() {
  const uint32_t point = next();
  switch (point) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case 'a':
      return '\a';
    case 'e':
      return 0x1b;
    case 'b':  // in brackets only: elsewhere it is an anchor
      return '\b';
    case '0':
      return 0;
    case 'u':
      return hexadecimal(4, 4);
    case 'x': {
      if (!take('{')) return hexadecimal(1, 2);
      const uint32_t value = hexadecimal(1, 6);
      require(take('}'), "unclosed \\x{");
      return value;
    }
    default:
      require(point < '1' || point > '9', "a backreference, which the engine does not have,");
      require(point != 'k' && point != 'g', "a reference to a group, which is not supported,");
      require(!(point < 0x80 && (class_set(point) & kLetter)), "an unknown escape");
      return point;
  }
}

}  // namespace lowbit::tokenizers::regex
