#include "tokenizers/graphemes.hpp"

#include "tokenizers/unicode.hpp"

namespace lowbit::tokenizers {
namespace {

#include "tokenizers/tables/graphemes.inc"

}  // namespace

GraphemeFinder::GraphemeFinder() : classes_(kGraphemeStarts) {}

size_t GraphemeFinder::end(std::string_view text, size_t at) {
  const auto is_ascii = [&](size_t i) { return static_cast<uint8_t>(text[i]) < 0x80; };
  if (is_ascii(at) && (at + 1 == text.size() || is_ascii(at + 1)))
    return at + (text.substr(at, 2) == "\r\n" ? 2 : 1);
  const Class first = class_of(next_point(text, at));
  State state{first, first == Class::pictograph, first == Class::consonant, false};
  while (at < text.size()) {
    size_t behind = at;
    const Class next = class_of(next_point(text, behind));
    if (!joins(state, next)) break;
    advance(state, next);
    at = behind;
  }
  return at;
}

// Rules 3 to 9c and 11 of the annex, in their order.
bool GraphemeFinder::joins(const State& state, Class next) {
  using enum Class;
  const Class last = state.last;
  if (last == carriage_return && next == line_feed) return true;
  if (last >= control && last <= line_feed) return false;
  if (next >= control && next <= line_feed) return false;
  if (joins_hangul(last, next)) return true;
  if (next >= spacing_mark && next <= joiner) return true;
  if (last == prepend) return true;
  if (state.linked && next == consonant) return true;
  return state.pictograph && last == joiner && next == pictograph;
}

bool GraphemeFinder::joins_hangul(Class last, Class next) {
  using enum Class;
  if (last == hangul_l) return next == hangul_l || next == hangul_v || next >= hangul_lv;
  if (last == hangul_lv || last == hangul_v) return next == hangul_v || next == hangul_t;
  return (last == hangul_lvt || last == hangul_t) && next == hangul_t;
}

void GraphemeFinder::advance(State& state, Class next) {
  using enum Class;
  const bool extends = next >= extend && next <= linker;
  state.pictograph =
      next == pictograph ||
      (state.pictograph && state.last != joiner && (extends || next == joiner));
  const bool conjunct = state.conjunct && next >= extend_conjunct && next <= joiner;
  state.linked = conjunct && (state.linked || next == linker);
  state.conjunct = next == consonant || conjunct;
  state.last = next;
}

GraphemeFinder::Class GraphemeFinder::class_of(uint32_t point) {
  // Apart, so that the range met last stays that of a text's other characters.
  if (point >= 0x20 && point < 0x7f) return Class::other;
  const auto found = static_cast<Class>(classes_(point));
  const bool final_consonant = found == Class::hangul_lv && (point - 0xac00) % 28 != 0;
  return final_consonant ? Class::hangul_lvt : found;
}

}  // namespace lowbit::tokenizers
