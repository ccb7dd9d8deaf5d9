// Where a character as readers see it ends: extended grapheme clusters (Unicode Annex 29).
//
// Pairs of regional indicators, which show as flags, are left as two clusters: nothing here asks
// for clusters of 6 bytes or more, and what contains one of them and anything else has no fewer.
#pragma once

#include <cstdint>
#include <string_view>

#include "tokenizers/class_ranges.hpp"

namespace lowbit::tokenizers {

// Finds clusters in a text from left to right.
class GraphemeFinder {
 public:
  GraphemeFinder();

  // The end of the cluster that begins at `at`, in valid UTF-8.
  size_t end(std::string_view text, size_t at);

  // Whether there is always a boundary between this character and another one of which this holds,
  // or one of ASCII.
  bool stands_alone(uint32_t point) { return class_of(point) == Class::other; }

  // Whether a cluster may hold both this character and one of ASCII.
  bool joins_ascii(uint32_t point) {
    const Class found = class_of(point);
    return found == Class::prepend || (found >= Class::spacing_mark && found <= Class::joiner);
  }

 private:
  enum class Class : uint8_t {
    other, control, carriage_return, line_feed, prepend, spacing_mark, extend, extend_conjunct,
    linker, joiner, pictograph, consonant, hangul_l, hangul_v, hangul_t, hangul_lv, hangul_lvt
  };
  // What is in the cluster so far, as far as the rules look back.
  struct State {
    Class last;
    bool pictograph;  // a pictograph and nothing but what extends it, perhaps a joiner last
    bool conjunct;    // a consonant and nothing but what joins it to another one
    bool linked;      // a linker among these
  };
  static bool joins(const State& state, Class next);
  static void advance(State& state, Class next);
  static bool joins_hangul(Class last, Class next);
  Class class_of(uint32_t point);

  ClassRanges classes_;
};

}  // namespace lowbit::tokenizers
