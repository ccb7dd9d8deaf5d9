// y = scale * (x W^T + x2 B^T + bias + residual), or with W and B transposed: every linear layer,
// its low-rank part in the same pass, and its backward.
//
//   for each four panels (64 columns of y)
//     for each 384 of the depth: decode the four panels once
//       for each 48 rows of x: for each panel: tiles of a few rows x 16 columns in registers
//
// A panel and the tile's rows of x stay in the first-level cache; the second product is one more
// run of the reduction in the same registers, so y is written once.
#include "formats/panel.hpp"
#include "kernels/args.hpp"
#include "kernels/tile.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr int64_t kBlock = 48;  // rows of x kept in the second-level cache, a multiple of the tile

struct Panels {
  const float* data;
  int64_t stride;        // from one depth to the next
  int64_t panel_stride;  // from one panel to the next
};

// Panels [begin, begin + count) for depths [k, stop), decoded into `buffer`, or where they lie when
// floats can be read in place.
Panels get_panels(const WeightView& w, bool transposed, int64_t begin, int64_t count, int64_t k,
                  int64_t stop, float* buffer) {
  const bool whole = (begin + count) * kLanes <= w.cols;
  if (transposed && w.format == Format::fp32 && whole)
    return {static_cast<const float*>(w.data) + k * w.stride + begin * kLanes, w.stride, kLanes};
  const int64_t panel_stride = round_up(stop - k, 16) * kLanes;
  for (int64_t p = 0; p < count; ++p) {
    if (transposed)
      read_panel_transposed(w, begin + p, k, stop, buffer + p * panel_stride);
    else
      read_panel(w, begin + p, k, stop, buffer + p * panel_stride);
  }
  return {buffer, kLanes, panel_stride};
}

struct Span {
  int64_t panel, count;  // panels of this group
  int64_t begin, end;    // depth
  bool first, last;
};

void multiply_span(const MatmulArgs& a, const Span& span) {
  float* buffer = a.scratch;
  const Panels main =
      get_panels(a.first.weight, a.transposed, span.panel, span.count, span.begin, span.end,
                 buffer);
  const bool low_rank = span.last && a.second.x;
  Panels extra{};
  if (low_rank)
    extra = get_panels(a.second.weight, a.transposed, span.panel, span.count, 0, a.second.x.cols,
                       buffer + kMatmulPanels * kLanes * kMatmulDepth);
  for (int64_t block = a.row_begin; block < a.row_end; block += kBlock) {
    const int64_t block_end = block + kBlock < a.row_end ? block + kBlock : a.row_end;
    for (int64_t p = 0; p < span.count; p += kTileVectors) {
      const int64_t column = (span.panel + p) * kLanes;
      const int64_t left = span.count - p;
      const int64_t wide = (left < kTileVectors ? left : kTileVectors) * kLanes;
      Tile t;
      t.segment_count = low_rank ? 2 : 1;
      t.accumulate = !span.first;
      t.bias = a.bias ? a.bias + column : nullptr;
      t.residual_stride = a.residual.stride;
      t.scale = span.last ? a.scale : 1.0f;
      t.c_stride = a.y.stride;
      t.columns = a.y.cols - column < wide ? a.y.cols - column : wide;
      for (int64_t row = block; row < block_end; row += kTileRows) {
        t.segments[0] = {a.first.x.row(row) + span.begin, a.first.x.stride,
                         main.data + p * main.panel_stride, main.stride, main.panel_stride,
                         span.end - span.begin};
        if (low_rank)
          t.segments[1] = {a.second.x.row(row), a.second.x.stride,
                           extra.data + p * extra.panel_stride, extra.stride, extra.panel_stride,
                           a.second.x.cols};
        t.residual = a.residual ? a.residual.row(row) + column : nullptr;
        t.c = a.y.row(row) + column;
        const int64_t rows = block_end - row < kTileRows ? block_end - row : kTileRows;
        if (kTileVectors > 1 && left < kTileVectors)
          multiply_rows<1>(t, rows);
        else
          multiply_rows<kTileVectors>(t, rows);
      }
    }
  }
}

}  // namespace

void matmul(const MatmulArgs& a) noexcept {
  const int64_t depth = a.first.x.cols;
  for (int64_t panel = a.panel_begin; panel < a.panel_end; panel += kMatmulPanels) {
    const int64_t left = a.panel_end - panel;
    const int64_t count = left < kMatmulPanels ? left : kMatmulPanels;
    for (int64_t k = 0; k == 0 || k < depth; k += kMatmulDepth) {
      const int64_t stop = k + kMatmulDepth < depth ? k + kMatmulDepth : depth;
      multiply_span(a, {panel, count, k, stop, k == 0, stop == depth});
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
