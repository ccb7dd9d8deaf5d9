// Reading the rows of dense formats.
#pragma once

#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

// The first `lanes` of 16 elements as floats.
template <class Dense, class Element>
inline F32 load_some(const Element* p, int lanes) {
  if (lanes == kLanes) return Dense::load16(p);
  if constexpr (sizeof(Element) == sizeof(float)) {
    return load_first(p, lanes);
  } else {
    Element tile[kLanes] = {};
    for (int i = 0; i < lanes; ++i) tile[i] = p[i];
    return Dense::load16(tile);
  }
}

}  // namespace lowbit::LOWBIT_ISA
