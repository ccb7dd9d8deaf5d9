// Panels: a strip of a weight matrix as 16-wide rows of floats, the operand of every product.
//
//   forward   y = x W^T   panel[k][16] = W[16 p + lane, k]    (read_panel)
//   backward  dx = dy W   panel[n][16] = W[n, 16 p + lane]    (read_panel_transposed)
//
// Each weight is decoded once per call into a buffer that stays in the first-level cache, however
// many rows x has: decoding inside the tile loop would repeat it for every few rows.
#pragma once

#include "formats/weight.hpp"

namespace lowbit::LOWBIT_ISA {

// out[k - begin][lane] = W[16 panel + lane, k] for k in [begin, end). `begin` is a multiple of 16;
// `out` has room for end rounded up to a multiple of 8.
void read_panel(const WeightView& w, int64_t panel, int64_t begin, int64_t end, float* out);

// out[n - begin][lane] = W[n, 16 panel + lane] for n in [begin, end). `begin` is a multiple of 16;
// `out` has room for end rounded up to a multiple of 16.
void read_panel_transposed(const WeightView& w, int64_t panel, int64_t begin, int64_t end,
                           float* out);

// One or the other: the panel of x W^T, or of x W when `transposed`.
inline void read_panel(const WeightView& w, bool transposed, int64_t panel, int64_t begin,
                       int64_t end, float* out) {
  if (transposed)
    read_panel_transposed(w, panel, begin, end, out);
  else
    read_panel(w, panel, begin, end, out);
}

}  // namespace lowbit::LOWBIT_ISA
