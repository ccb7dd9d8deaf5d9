#include "tokenizers/normal_forms.hpp"

#include <algorithm>
#include <iterator>
#include <span>

#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {
namespace {

#include "tokenizers/tables/normalization.inc"

uint8_t flags(uint32_t point) { return kUnstablePages[kUnstablePageOf[point >> 8]][point & 0xff]; }

}  // namespace

bool changes(NormalForm form, uint32_t point) {
  return flags(point) >> static_cast<int>(form) & 1;
}

namespace {

// A code point of the result. `change` says how many it is ahead of the code points it replaces: 1
// for an inserted one, 0 for one in the place of another, -n for one in the place of 1 + n.
struct Changed {
  uint32_t point;
  int32_t change;
  uint8_t order;  // canonical combining class
};

bool composes(NormalForm form) { return form == NormalForm::nfc || form == NormalForm::nfkc; }

// The end of the run of characters at `at` that may change, or that do not.
uint32_t run_end(NormalForm form, std::string_view text, size_t at, bool changing) {
  while (at < text.size()) {
    size_t behind = at;
    const uint32_t p = next_point(text, behind);
    if ((p >= 0x80 && changes(form, p)) != changing) break;
    at = behind;
  }
  return static_cast<uint32_t>(at);
}

std::span<const uint32_t> compatible(uint32_t point) {
  const uint32_t* found =
      std::lower_bound(std::begin(kCompatiblePoints), std::end(kCompatiblePoints), point);
  if (found == std::end(kCompatiblePoints) || *found != point) return {};
  const auto at = found - std::begin(kCompatiblePoints);
  return {kCompatibleMapped + kCompatibleBegins[at], kCompatibleMapped + kCompatibleBegins[at + 1]};
}

// The pair as one code point, or 0.
uint32_t compose(uint32_t first, uint32_t second) {
  // Hangul by arithmetic (The Unicode Standard, section 3.12).
  if (first >= 0x1100 && first < 0x1113 && second >= 0x1161 && second < 0x1176)
    return 0xac00 + ((first - 0x1100) * 21 + (second - 0x1161)) * 28;
  if (first >= 0xac00 && first <= 0xd7a3 && (first - 0xac00) % 28 == 0 && second > 0x11a7 &&
      second < 0x11c3)
    return first + (second - 0x11a7);
  const uint64_t pair = uint64_t{first} << 32 | second;
  const uint64_t* found = std::lower_bound(std::begin(kPairs), std::end(kPairs), pair);
  if (found == std::end(kPairs) || *found != pair) return 0;
  return kComposed[found - std::begin(kPairs)];
}

// Appends the decomposition, with marks in canonical order: a stable sort between starters.
void decompose_all(bool compatibility, std::string_view text, std::vector<Changed>& out) {
  const NormalForm form = compatibility ? NormalForm::nfkd : NormalForm::nfd;
  size_t starter = 0;  // the marks to sort follow this place
  const auto sort = [&] {
    if (starter + 1 >= out.size()) return;
    std::stable_sort(out.begin() + static_cast<ptrdiff_t>(starter), out.end(),
                     [](const Changed& a, const Changed& b) { return a.order < b.order; });
  };
  const auto add = [&](const Changed& c) {
    if (c.order == 0) sort();
    out.push_back(c);
    if (c.order == 0) starter = out.size();
  };
  const auto add_part = [&](uint32_t p, int32_t change) {
    add({p, change, p < 0x300 ? uint8_t{0} : combining_class(p)});
  };
  for (size_t i = 0; i < text.size();) {
    const uint32_t p = next_point(text, i);
    if (!changes(form, p)) {
      add({p, 0, 0});
      continue;
    }
    uint32_t buffer[3];
    std::span<const uint32_t> parts;
    if (compatibility) parts = compatible(p);
    if (parts.empty()) parts = decompose(p, buffer);
    if (parts.empty()) add_part(p, 0);
    for (size_t k = 0; k < parts.size(); ++k) add_part(parts[k], k > 0);
  }
  sort();
}

// Marks and letters join the starter before them unless something of their own order or higher is
// in between.
std::vector<Changed> composed(const std::vector<Changed>& in) {
  std::vector<Changed> out;
  ptrdiff_t starter = -1;
  int last = -1;  // order of the last one that stayed behind the starter; -1: none did
  for (const Changed& c : in) {
    if (starter >= 0 && last < static_cast<int>(c.order)) {
      Changed& base = out[static_cast<size_t>(starter)];
      if (const uint32_t joined = compose(base.point, c.point)) {
        base.point = joined;
        base.change += c.change - 1;
        continue;
      }
    }
    if (c.order == 0) {
      starter = std::ssize(out);
      last = -1;
    } else {
      last = c.order;
    }
    out.push_back(c);
  }
  return out;
}

// Writes what becomes of a stretch that nothing outside of it has a part in.
void normalize_stretch(NormalForm form, const Text& text, Span stretch,
                       std::vector<Changed>& points, Rewrite& rewrite) {
  const bool compatibility = form == NormalForm::nfkc || form == NormalForm::nfkd;
  points.clear();
  decompose_all(compatibility, text.bytes(stretch), points);
  if (composes(form)) points = composed(points);
  size_t at = stretch.begin;
  Span place{stretch.begin, stretch.begin};  // of the code point that was replaced or dropped last
  const auto next = [&] {
    const size_t begin = at;
    next_point(text.bytes(), at);
    place = {static_cast<uint32_t>(begin), static_cast<uint32_t>(at)};
  };
  std::string encoded;
  for (const Changed& c : points) {
    if (c.change <= 0) next();
    encoded.clear();
    append_utf8(encoded, c.point);
    rewrite.put(encoded, place);
    for (int32_t dropped = c.change; dropped < 0; ++dropped) next();
  }
}

}  // namespace

bool is_mark(uint32_t point) { return flags(point) >> 4 & 1; }

void normalize(NormalForm form, Text& text) {
  const std::string_view bytes = text.bytes();
  const auto size = static_cast<uint32_t>(bytes.size());
  uint32_t at = run_end(form, bytes, 0, false);
  if (at == size) return;
  Rewrite rewrite(text);
  std::vector<Changed> points;
  if (composes(form)) {
    normalize_stretch(form, text, {0, size}, points, rewrite);
  } else {
    // Characters that stay as they are keep marks on either side apart.
    for (uint32_t kept = 0;; at = run_end(form, bytes, kept, false)) {
      rewrite.keep({kept, at});
      if (at == size) break;
      kept = run_end(form, bytes, at, true);
      normalize_stretch(form, text, {at, kept}, points, rewrite);
    }
  }
  text.pieces.assign(1, {0, rewrite.size()});
  rewrite.finish();
}

}  // namespace lowbit::tokenizers
