// Sets of code points: what a class such as [^\s\p{L}] stands for.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace lowbit::tokenizers::regex {

inline constexpr uint32_t kLastPoint = 0x10ffff;

struct Range {
  uint32_t first, last;
  bool operator==(const Range&) const = default;
};

// Sorted ranges that neither overlap nor touch.
class PointSet {
 public:
  PointSet() = default;
  PointSet(uint32_t first, uint32_t last) : ranges_{{first, last}} {}
  explicit PointSet(std::vector<Range> ranges) : ranges_(std::move(ranges)) {}

  const std::vector<Range>& ranges() const { return ranges_; }
  bool operator==(const PointSet&) const = default;

  bool contains(uint32_t point) const;
  PointSet united(const PointSet& other) const;
  PointSet complement() const;
  PointSet intersected(const PointSet& other) const;
  PointSet any_case() const;  // with the other cases of all its members, one code point each

 private:
  std::vector<Range> ranges_;
};

// The code points that have one of these class bits (classes.hpp).
PointSet points_of(uint32_t classes);

PointSet word_points(bool in_brackets);  // \w, which numbers of Latin-1 are only out of brackets

// \p{name}: a general category by its short or long name, or Han. Raises ArgumentError that names
// a class that the tables lack.
PointSet property(std::string_view name);

// A set made for fast tests.
class PointTest {
 public:
  explicit PointTest(const PointSet& set);

  bool operator()(uint32_t point) const {
    if (point < 0x80) return ascii_[point];
    if (point < 0x10000) return bits_[point >> 6] >> (point & 63) & 1;
    return astral_.contains(point);
  }
  bool ascii(uint8_t byte) const { return ascii_[byte]; }

 private:
  std::array<bool, 256> ascii_ = {};
  std::vector<uint64_t> bits_;  // of the basic multilingual plane
  PointSet astral_;
};

}  // namespace lowbit::tokenizers::regex
