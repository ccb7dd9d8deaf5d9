// How much of a change counts that several made to the same row without seeing each other's.
#pragma once

#include <algorithm>

namespace lowbit::vectors {

// Of one that comes from naming the row so many `times`: changes to rare rows are added up; to
// frequent ones all make much the same, from the same beginning: their sum would go too far, and
// would diverge, where their mean does not. `share` is 1 / how many make them.
inline float change_weight(float times, float often, float share) {
  return times > often ? std::max(share, often / times) : 1.0f;
}

}  // namespace lowbit::vectors
