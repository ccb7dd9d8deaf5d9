// The character classes of regular expressions, as bits of a code point: kL for \p{L}, kSpace for
// \s, kWord for \w, and so on.
#pragma once

#include <cstdint>

namespace lowbit::tokenizers {

#include "tokenizers/tables/classes.inc"

inline uint16_t classes(uint32_t point) {
  return kClassKinds[kClassPages[kClassPageOf[point >> 8]][point & 0xff]];
}

// Numbers of any kind, as the Digits pre-tokenizer sees them.
inline bool is_numeric(uint32_t point) { return classes(point) & kNumeric; }

}  // namespace lowbit::tokenizers
