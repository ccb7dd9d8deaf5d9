#include "tokenizers/patterns/regex_class.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "tokenizers/classes.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers::regex {

namespace {

// `member` tells by the class set alone beyond Latin-1, so that of equal leaves in a row (of
// Chinese characters, or of code points that mean nothing) one is enough.
template <class Member>
PointSet points_where(Member member) {
  std::vector<Range> ranges;
  bool inside = false, uniform = false;  // no change within the leaf before
  for (uint32_t point = 0; point <= kLastPoint; ++point) {
    if (point % 64 == 0) {
      const uint32_t page = point / 64;
      if (uniform && page > 4 && kClassPages[page] == kClassPages[page - 1]) {
        point += 63;
        continue;
      }
      uniform = true;
    }
    if (static_cast<bool>(member(point)) == inside) continue;
    inside = !inside;
    uniform &= point % 64 == 0;
    if (inside)
      ranges.push_back({point, kLastPoint});
    else
      ranges.back().last = point - 1;
  }
  return PointSet(std::move(ranges));
}

// Pairs of code points that differ in case. To the lower case of every letter come letters that
// are another form of a small one: the long s, the final sigma and the like.
std::vector<std::pair<uint32_t, uint32_t>> case_pairs() {
  std::vector<std::pair<uint32_t, uint32_t>> pairs = {
      {0xb5, 0x3bc},    {0x17f, 's'},     {0x345, 0x3b9},   {0x3c2, 0x3c3},   {0x3d0, 0x3b2},
      {0x3d1, 0x3b8},   {0x3d5, 0x3c6},   {0x3d6, 0x3c0},   {0x3f0, 0x3ba},   {0x3f1, 0x3c1},
      {0x3f5, 0x3b5},   {0x1e9b, 0x1e61}, {0x1fbe, 0x3b9},  {0x1c80, 0x432},  {0x1c81, 0x434},
      {0x1c82, 0x43e},  {0x1c83, 0x441},  {0x1c84, 0x442},  {0x1c85, 0x442},  {0x1c86, 0x44a},
      {0x1c87, 0x463},  {0x1c88, 0xa64b},
  };
  for (uint32_t point = 0; point <= kLastPoint; ++point) {
    const auto lower = lowercase(point);
    if (lower.size() == 1 && lower[0] != point) pairs.emplace_back(point, lower[0]);
  }
  return pairs;
}

}  // namespace

bool PointSet::contains(uint32_t point) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), point,
                                      [](uint32_t p, const Range& r) { return p < r.first; });
  return after != ranges_.begin() && point <= std::prev(after)->last;
}

PointSet PointSet::united(const PointSet& other) const {
  std::vector<Range> all(ranges_.size() + other.ranges_.size());
  std::merge(ranges_.begin(), ranges_.end(), other.ranges_.begin(), other.ranges_.end(),
             all.begin(), [](const Range& a, const Range& b) { return a.first < b.first; });
  PointSet result;
  for (const Range& range : all) {
    if (!result.ranges_.empty() && range.first <= result.ranges_.back().last + 1)
      result.ranges_.back().last = std::max(result.ranges_.back().last, range.last);
    else
      result.ranges_.push_back(range);
  }
  return result;
}

PointSet PointSet::complement() const {
  PointSet result;
  uint32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) result.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastPoint) result.ranges_.push_back({next, kLastPoint});
  return result;
}

PointSet PointSet::intersected(const PointSet& other) const {
  return complement().united(other.complement()).complement();
}

PointSet PointSet::any_case() const {
  static const auto pairs = case_pairs();
  PointSet result = *this;
  for (bool grown = true; grown;) {
    std::vector<uint32_t> found;
    for (const auto& [one, other] : pairs) {
      const bool has_one = result.contains(one);
      if (has_one != result.contains(other)) found.push_back(has_one ? other : one);
    }
    for (const uint32_t point : found) result = result.united({point, point});
    grown = !found.empty();
  }
  return result;
}

PointSet points_of(uint32_t classes) {
  return points_where([&](uint32_t point) { return class_set(point) & classes; });
}

PointSet word_points(bool in_brackets) {
  return in_brackets ? points_where(is_bracket_word) : points_of(kWordCharacter);
}

PointSet property(std::string_view name) {
  static const std::map<std::string, uint32_t, std::less<>> known = {
      {"l", kLetter},          {"letter", kLetter},
      {"n", kNumber},          {"number", kNumber},
      {"m", kMark},            {"mark", kMark},
      {"p", kPunctuationOnly}, {"punctuation", kPunctuationOnly},
      {"s", kSymbolOnly},      {"symbol", kSymbolOnly},
      {"lu", kUppercase},      {"uppercaseletter", kUppercase},
      {"ll", kLower},          {"lowercaseletter", kLower},
      {"lt", kTitlecase},      {"titlecaseletter", kTitlecase},
      {"lm", kModifier},       {"modifierletter", kModifier},
      {"lo", kOtherLetter},    {"otherletter", kOtherLetter},
      {"lc", kUpper | kLower}, {"casedletter", kUpper | kLower},
      {"nd", kDecimal},        {"decimalnumber", kDecimal},
      {"digit", kDecimal},     {"han", kHan},
      {"script=han", kHan},    {"sc=han", kHan},
      {"space", kSpace},       {"whitespace", kSpace},
  };
  std::string key;  // case, spaces, hyphens and underscores do not matter
  for (const char c : name)
    if (c != ' ' && c != '_' && c != '-') key += c >= 'A' && c <= 'Z' ? char(c | 0x20) : c;
  if (key == "any") return {0, kLastPoint};
  if (key == "word") return word_points(true);
  const auto entry = known.find(key);
  check(entry != known.end(), "compile_pattern: the tables have no class \\p{", name,
        "}; they have L, Lu, Ll, Lt, Lm, Lo, LC, M, N, Nd, P, S, Han, Space, Word and Any");
  return points_of(entry->second);
}

PointTest::PointTest(const PointSet& set) : bits_(1024) {
  for (const Range& range : set.ranges()) {
    for (uint32_t point = range.first; point <= std::min(range.last, 0xffffu); ++point) {
      if (point < 0x80) ascii_[point] = true;
      bits_[point >> 6] |= uint64_t{1} << (point & 63);
    }
  }
  astral_ = set.intersected({0x10000, kLastPoint});
}

}  // namespace lowbit::tokenizers::regex
