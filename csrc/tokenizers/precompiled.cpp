#include "tokenizers/precompiled.hpp"

#include "core/error.hpp"
#include "tokenizers/graphemes.hpp"
#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {
namespace {

constexpr size_t kLongestCluster = 5;

int32_t count_points(std::string_view text) {
  int32_t count = 0;
  for (const char byte : text) count += starts_point(byte);
  return count;
}

// Where the characters of the output come from, in the library's terms: a character whose change is
// 1 was inserted; one whose change is -n stands for a character of the source and n more.
class Changes {
 public:
  Changes(std::string_view text, Origins* origins) : text_(text), origins_(origins) {}

  void keep(std::string_view characters) {
    if (origins_) append(characters);
  }

  // What is removed without replacement is counted to the character before it; the library forgets
  // it when there is none, and then all origins lag behind.
  void replace(std::string_view from, std::string_view to) {
    if (!origins_) return;
    append(to);
    const int32_t more = count_points(to) - count_points(from);
    for (int32_t i = 0; i < more; ++i) changes_.end()[-1 - i].change = 1;
    if (more < 0 && !changes_.empty()) changes_.back().change += more;
  }

  void finish() const {
    size_t at = 0;  // in the source
    for (const auto& [bytes, change] : changes_) {
      const bool inserted = change > 0;
      size_t begin = at, end = at;
      if (inserted) {
        while (begin > 0 && !starts_point(text_[--begin])) continue;
      } else {
        next_point(text_, end);
        at = end;
        for (int32_t i = change; i < 0; ++i) next_point(text_, at);
      }
      origins_->begin.insert(origins_->begin.end(), bytes, static_cast<uint32_t>(begin));
      origins_->end.insert(origins_->end.end(), bytes, static_cast<uint32_t>(end));
    }
  }

 private:
  struct Change {
    uint32_t bytes;
    int32_t change;
  };

  void append(std::string_view characters) {
    for (size_t at = 0; at < characters.size();) {
      const size_t begin = at;
      next_point(characters, at);
      changes_.push_back({static_cast<uint32_t>(at - begin), 0});
    }
  }

  const std::string_view text_;
  Origins* const origins_;
  std::vector<Change> changes_;
};

}  // namespace

Precompiled::Precompiled(std::string_view charsmap) : map_(charsmap) {
  check(!charsmap.empty(), "Precompiled: the charsmap is empty");
  GraphemeFinder finder;
  for (uint32_t point = 0; point < plain_.size(); ++point)
    plain_[point] = point < 0x80 ? point != '\r' && map_.keeps(static_cast<uint8_t>(point))
                                 : !map_.starts_entry(point) && finder.stands_alone(point);
}

// The end of the run of plain characters at `at`, without one that what follows it may change.
size_t Precompiled::plain_end(std::string_view text, size_t at) const {
  size_t last = at;
  while (at < text.size()) {
    size_t behind = at;
    const uint32_t point = next_point(text, behind);
    if (point >= plain_.size() || !plain_[point]) return point < 0x80 ? at : last;
    last = at;
    at = behind;
  }
  return at;
}

void Precompiled::normalize(std::string_view text, std::string& out, Origins* origins) const {
  check(text.size() <= UINT32_MAX, "Precompiled: a text has ", text.size(),
        " bytes; less than 4 GB are possible");
  GraphemeFinder finder;
  Changes changes(text, origins);
  const auto put = [&](std::string_view from, const CharsMap::Match& match) {
    if (match.length > 0)
      changes.replace(from, match.replacement);
    else
      changes.keep(from);
    out += match.length > 0 ? match.replacement : from;
  };
  for (size_t at = 0; at < text.size();) {
    const size_t plain = plain_end(text, at);
    put(text.substr(at, plain - at), {});
    if (plain == text.size()) break;
    const size_t end = finder.end(text, plain);
    const std::string_view cluster = text.substr(plain, end - plain);
    const bool is_short = cluster.size() <= kLongestCluster;
    const CharsMap::Match whole = is_short ? map_.shortest(cluster) : CharsMap::Match{};
    at = whole.length > 0 ? end : plain;
    if (whole.length > 0) put(cluster, whole);
    while (at < end) {
      const size_t begin = at;
      next_point(text, at);
      const std::string_view character = text.substr(begin, at - begin);
      put(character, map_.shortest(character));
    }
  }
  if (origins) changes.finish();
}

}  // namespace lowbit::tokenizers
