// Going through a row, or any stretch of floats, 16 at a time.
#pragma once

#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

// Calls use(column, lanes) for 16 columns at a time; lanes < 16 only in the last call.
template <class Use>
inline void for_columns(int64_t columns, Use&& use) {
  int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) use(c, kLanes);
  if (c < columns) use(c, static_cast<int>(columns - c));
}

inline F32 read(const float* p, int lanes) {
  return lanes == kLanes ? load(p) : load_first(p, lanes);
}
inline void write(float* p, F32 v, int lanes) {
  if (lanes == kLanes)
    store(p, v);
  else
    store_first(p, v, lanes);
}

// The first `lanes` values, and `padding` in the other lanes.
inline F32 read_padded(const float* p, int lanes, float padding) {
  if (lanes == kLanes) return load(p);
  float tile[kLanes];
  store(tile, set1(padding));
  for (int i = 0; i < lanes; ++i) tile[i] = p[i];
  return load(tile);
}

}  // namespace lowbit::LOWBIT_ISA
