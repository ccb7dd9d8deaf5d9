// How a product is cut, whatever its arithmetic:
//
//   for each four panels (64 columns of y)
//     for each 384 of the depth: prepare the four panels once
//       for each 48 rows of x: a block of register tiles
//
// The panels of a tile and its rows of x stay in the first-level cache. The second product is one
// more run of the reduction in the same registers, so y is written once.
#pragma once

#include "formats/panel.hpp"
#include "kernels/args.hpp"
#include "kernels/tile.hpp"

namespace lowbit::LOWBIT_ISA {

constexpr int64_t kBlock = 48;  // rows of x kept in the second-level cache, a multiple of the tile

struct Span {
  int64_t panel, count;  // panels of this group
  int64_t begin, end;    // columns of the band of x
  bool first, last;
};

// The right operand of a Segment.
struct Panels {
  const float* data;
  int64_t panel_stride;  // from one panel to the next
};

// Panels [begin, begin + count) for depths [k, stop), decoded into `buffer`. Floats that lie right
// already are copied, too: their rows are pages apart, and a power of two apart at worst.
inline Panels read_panels(const WeightView& w, bool transposed, int64_t begin, int64_t count,
                         int64_t k, int64_t stop, float* buffer) {
  const int64_t panel_stride = round_up(stop - k, 16) * kLanes;
  for (int64_t p = 0; p < count; ++p)
    read_panel(w, transposed, begin + p, k, stop, buffer + p * panel_stride);
  return {buffer, panel_stride};
}

// `Main` is the first product's arithmetic: Main(args, span, scratch) prepares the panels,
// place(tile, row) lets a tile start at a row of x; kIntegers says which run of the tile it fills,
// and kScratch how many floats of the scratch it takes.
template <class Main>
void multiply_span(const MatmulArgs& a, const Span& span) {
  const Main main(a, span, a.scratch);
  const bool low_rank = span.last && a.second.x;
  Panels extra{};
  if (low_rank)
    extra = read_panels(a.second.weight, a.transposed, span.panel, span.count, 0, a.second.x.cols,
                           a.scratch + Main::kScratch);
  const int64_t column = span.panel * kLanes, left = a.y.cols - column;
  for (int64_t row = a.row_begin; row < a.row_end; row += kBlock) {
    Tile t;
    main.place(t, row);
    if (low_rank)
      t.segments[t.segment_count++] = {a.second.x.row(row), a.second.x.stride,  extra.data,
                                       kLanes,              extra.panel_stride, a.second.x.cols};
    t.accumulate = !span.first;
    t.bias = a.bias ? a.bias + column : nullptr;
    t.residual = a.residual ? a.residual.row(row) + column : nullptr;
    t.residual_stride = a.residual.stride;
    t.scale = span.last ? a.scale : 1.0f;
    t.c = a.y.row(row) + column;
    t.c_stride = a.y.stride;
    multiply_block<Main::kIntegers>(t, a.row_end - row < kBlock ? a.row_end - row : kBlock,
                                    left < span.count * kLanes ? left : span.count * kLanes);
  }
}

template <class Main>
void multiply_spans(const MatmulArgs& a) {
  const int64_t depth = a.first.x.cols;
  for (int64_t panel = a.panel_begin; panel < a.panel_end; panel += kMatmulPanels) {
    const int64_t left = a.panel_end - panel;
    const int64_t count = left < kMatmulPanels ? left : kMatmulPanels;
    for (int64_t k = 0; k == 0 || k < depth; k += kMatmulDepth) {
      const int64_t stop = k + kMatmulDepth < depth ? k + kMatmulDepth : depth;
      multiply_span<Main>(a, {panel, count, k, stop, k == 0 && a.first_band(),
                              stop == depth && a.last_band()});
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
