#include "tokenizers/json_cursor.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// What ends a run of characters that stand for themselves.
constexpr std::array<bool, 256> make_stops() {
  std::array<bool, 256> stops{};
  for (size_t control = 0; control < 0x20; ++control) stops[control] = true;
  stops['"'] = stops['\\'] = true;
  return stops;
}
constexpr std::array<bool, 256> kStops = make_stops();

}  // namespace

bool JsonCursor::string(std::string& out) {
  if (!take('"')) return false;
  for (;;) {
    const size_t begin = at_;
    while (at_ < text_.size() && !kStops[static_cast<uint8_t>(text_[at_])]) ++at_;
    out.append(text_, begin, at_ - begin);
    if (at_ == text_.size()) return false;
    const char stop = text_[at_++];
    if (stop == '"') return true;
    if (stop != '\\' || !escape(out)) return false;
  }
}

bool JsonCursor::escape(std::string& out) {
  if (at_ == text_.size()) return false;
  const char kind = text_[at_++];
  constexpr std::string_view kNames = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
  if (const size_t found = kNames.find(kind); found != std::string_view::npos) {
    out += kMeant[found];
    return true;
  }
  if (kind != 'u') return false;
  std::optional<uint32_t> point = four_digits();
  if (point && *point >= 0xd800 && *point < 0xe000) {
    if (*point >= 0xdc00 || text_.substr(at_, 2) != "\\u") return false;
    at_ += 2;
    const std::optional<uint32_t> low = four_digits();
    if (!low || *low < 0xdc00 || *low >= 0xe000) return false;
    point = 0x10000 + ((*point - 0xd800) << 10) + (*low - 0xdc00);
  }
  if (!point) return false;
  append_utf8(out, *point);
  return true;
}

std::optional<uint32_t> JsonCursor::four_digits() {
  if (text_.size() - at_ < 4) return {};
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = text_[at_++];
    const char letter = static_cast<char>(c | 0x20);
    if (!is_digit(c) && (letter < 'a' || letter > 'f')) return {};
    value = value << 4 | static_cast<uint32_t>(is_digit(c) ? c - '0' : letter - 'a' + 10);
  }
  return value;
}

std::optional<std::string_view> JsonCursor::plain_string() {
  if (!take('"')) return {};
  const size_t begin = at_;
  while (at_ < text_.size() && !kStops[static_cast<uint8_t>(text_[at_])]) ++at_;
  if (at_ == text_.size() || text_[at_] != '"') return {};
  return text_.substr(begin, at_++ - begin);
}

std::optional<int64_t> JsonCursor::natural() {
  peek();
  const size_t begin = at_;
  int64_t value = 0;
  while (at_ < text_.size() && is_digit(text_[at_]) && at_ - begin < 18)
    value = value * 10 + (text_[at_++] - '0');
  const bool ends = at_ == text_.size() || (!is_digit(text_[at_]) && text_[at_] != '.' &&
                                            (text_[at_] | 0x20) != 'e');
  if (at_ == begin || !ends || (text_[begin] == '0' && at_ - begin > 1)) return {};
  return value;
}

std::optional<std::string_view> JsonCursor::number() {
  peek();
  const size_t begin = at_;
  const auto digits = [&] {
    const size_t first = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ - first;
  };
  const auto is = [&](char wanted) { return at_ < text_.size() && text_[at_] == wanted; };
  if (is('-')) ++at_;
  const bool zero = is('0');
  const size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return {};
  if (is('.') && (++at_, digits() == 0)) return {};
  if (is('e') || is('E')) {
    ++at_;
    if (is('+') || is('-')) ++at_;
    if (digits() == 0) return {};
  }
  return text_.substr(begin, at_ - begin);
}

bool JsonCursor::skip_string() {
  ++at_;
  for (; at_ < text_.size(); ++at_) {
    if (text_[at_] == '"') return ++at_, true;
    if (text_[at_] == '\\') ++at_;
  }
  return false;
}

bool JsonCursor::skip() {
  size_t depth = 0;
  const size_t begin = (peek(), at_);
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '"') {
      if (!skip_string()) return false;
    } else if (c == '[' || c == '{') {
      ++depth, ++at_;
      continue;
    } else if (c == ']' || c == '}') {
      if (depth == 0) return at_ > begin;
      --depth, ++at_;
    } else if (depth > 0) {
      ++at_;
      continue;
    } else if (c == ',') {
      return at_ > begin;
    } else {
      ++at_;
      continue;
    }
    if (depth == 0) return true;
  }
  return false;
}

std::optional<double> library_number(std::string_view digits) {
#define LOWBIT_TEN_POWERS(tens)                                                                  \
  1e##tens##0, 1e##tens##1, 1e##tens##2, 1e##tens##3, 1e##tens##4, 1e##tens##5, 1e##tens##6,     \
      1e##tens##7, 1e##tens##8, 1e##tens##9
#define LOWBIT_HUNDRED_POWERS(hundreds)                                                          \
  LOWBIT_TEN_POWERS(hundreds##0), LOWBIT_TEN_POWERS(hundreds##1),                                \
      LOWBIT_TEN_POWERS(hundreds##2), LOWBIT_TEN_POWERS(hundreds##3),                            \
      LOWBIT_TEN_POWERS(hundreds##4), LOWBIT_TEN_POWERS(hundreds##5),                            \
      LOWBIT_TEN_POWERS(hundreds##6), LOWBIT_TEN_POWERS(hundreds##7),                            \
      LOWBIT_TEN_POWERS(hundreds##8), LOWBIT_TEN_POWERS(hundreds##9)
  static constexpr double kPowers[] = {
      LOWBIT_HUNDRED_POWERS(), LOWBIT_HUNDRED_POWERS(1), LOWBIT_HUNDRED_POWERS(2),
      1e300, 1e301, 1e302, 1e303, 1e304, 1e305, 1e306, 1e307, 1e308};
#undef LOWBIT_HUNDRED_POWERS
#undef LOWBIT_TEN_POWERS
  constexpr int64_t kLargest = std::size(kPowers) - 1;
  constexpr int64_t kFar = 1'000'000'000;  // a power that no digits make up for

  const bool negative = digits.starts_with('-');
  size_t at = negative;
  uint64_t kept = 0;
  int64_t exponent = 0;
  bool full = false, fraction = false;
  for (; at < digits.size() && (is_digit(digits[at]) || digits[at] == '.'); ++at) {
    if (digits[at] == '.') {
      fraction = true;
      continue;
    }
    const auto digit = static_cast<uint64_t>(digits[at] - '0');
    full = full || kept > (UINT64_MAX - digit) / 10;
    if (!full) kept = kept * 10 + digit;
    exponent += (full ? 1 : 0) - (fraction ? 1 : 0);
  }
  if (at < digits.size()) {  // e
    const bool minus = digits[at + 1] == '-';
    at += minus || digits[at + 1] == '+' ? 2 : 1;
    int64_t power = 0;
    for (; at < digits.size(); ++at) power = std::min(power * 10 + (digits[at] - '0'), kFar);
    exponent += minus ? -power : power;
  }
  auto value = static_cast<double>(kept);
  for (; -exponent > kLargest && value != 0; exponent += kLargest) value /= kPowers[kLargest];
  if (value != 0 && exponent < 0)
    value /= kPowers[-exponent];
  else if (value != 0)
    value = exponent <= kLargest ? value * kPowers[exponent] : HUGE_VAL;
  if (std::isinf(value)) return {};
  return negative ? -value : value;
}

}  // namespace lowbit::tokenizers
