// Results that are streamed to memory, past the caches.
#pragma once

#include "core/views.hpp"

namespace lowbit::ops {

// Results of this size are streamed: most of one would have left the caches before it is read, and
// a line that is stored is read from memory first. Together with a sum of the result that follows
// at once (Zen 4, 32 MB of cache) streaming is even here, and a quarter faster at 24 MB.
constexpr int64_t kStreamedBytes = int64_t{16} << 20;

inline bool is_streamed(MatrixView<float> out) {
  const bool aligned = reinterpret_cast<uintptr_t>(out.data) % 64 == 0 && out.stride % 16 == 0;
  return aligned && out.rows * out.cols * int64_t{sizeof(float)} >= kStreamedBytes;
}

}  // namespace lowbit::ops
