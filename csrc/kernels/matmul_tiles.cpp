// The product of matmul.cpp with both operands rounded to bfloat16, in matrix tiles that sum in
// float32. Compiled for AMX alone; elsewhere the entries of the kernel table are null. It is a
// kernel of its own because a tile is no vector: no order of calls to the simd contract would
// describe it.
//
//   pack_tiles     rows of x to bfloat16 tiles, once per product for all columns
//   matmul_tiles   for each four panels (64 columns of y)
//                    for each 512 of the depth: decode the four panels once, rounded
//                      for each two panels: for each 32 rows of x: 2 x 2 tiles of sums
//
// Two panels (32 kB) stay in the first-level cache while the tiles of x stream past. The sums of a
// stretch of the depth go to y through a small buffer, where bias, residual and edges are easy.
#include "formats/panel.hpp"
#include "kernels/args.hpp"
#include "simd/amx.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr int kPairRows = 32, kPairColumns = 32;  // of 2 x 2 tiles

// Depths [begin, end) of one panel as pairs, zero beyond the end, up to a whole tile.
void round_panel(const WeightView& w, bool transposed, int64_t panel, int64_t begin, int64_t end,
                 uint16_t* out) {
  constexpr int64_t kChunk = 64;  // depths decoded at a time
  float chunk[kChunk * kLanes];
  for (int64_t k = begin; k < end; k += kChunk) {
    const int64_t stop = k + kChunk < end ? k + kChunk : end;
    read_panel(w, transposed, panel, k, stop, chunk);
    const int64_t depths = round_up(stop - k, kTileDepths);
    for (int64_t i = stop - k; i < depths; ++i) store(chunk + i * kLanes, zero());
    for (int64_t i = 0; i < depths; i += 2, out += 2 * kLanes)
      store_tile_pair(out, load(chunk + i * kLanes), load(chunk + (i + 1) * kLanes));
  }
}

// One product's share of a block of sums: where its tiles lie and how far to go.
struct Run {
  const uint16_t* tiles;  // of x, from the depth where the run begins
  int64_t row_tiles;      // elements from one row of tiles to the next
  const uint16_t* panels;
  int64_t panel_stride;
  int64_t steps;
};

struct Span {
  Run runs[2];
  int run_count;
  bool first, last;  // of the depth
};

// Adds the sums of a block to what y holds or starts from.
void write_sums(const MatmulArgs& a, const Span& span, const float* sums, int64_t row, int64_t rows,
                int64_t column, int64_t columns) {
  const F32 scale = set1(span.last ? a.scale : 1.0f);
  for (int64_t r = row; r < row + rows; ++r, sums += kPairColumns) {
    for (int64_t c = 0; c < columns; c += kLanes) {
      const int lanes = static_cast<int>(columns - c < kLanes ? columns - c : kLanes);
      float* y = a.y.row(r) + column + c;
      F32 start = zero();
      if (!span.first) {
        start = load_first(y, lanes);
      } else {
        if (a.bias) start = load_first(a.bias + column + c, lanes);
        if (a.residual) start = start + load_first(a.residual.row(r) + column + c, lanes);
      }
      store_first(y, (start + load(sums + c)) * scale, lanes);
    }
  }
}

template <int row_tiles, int panels>
void multiply_block(const Span& span, int64_t panel, int64_t row, float* sums) {
  clear_sums<row_tiles, panels>();
  for (int i = 0; i < span.run_count; ++i) {
    const Run& run = span.runs[i];
    multiply_tiles<row_tiles, panels>(run.tiles + row / kBlockRows * run.row_tiles, run.row_tiles,
                                      run.panels + panel * run.panel_stride, run.panel_stride,
                                      run.steps);
  }
  store_sums<row_tiles, panels>(sums, kPairColumns);
}

void multiply_span(const MatmulArgs& a, const Span& span, int64_t panel, int64_t count) {
  alignas(64) float sums[kPairRows * kPairColumns];
  for (int64_t p = 0; p < count; p += 2) {
    const bool two_panels = count - p > 1;
    const int64_t column = (panel + p) * kLanes;
    const int64_t wide = two_panels ? kPairColumns : kLanes;
    const int64_t columns = a.y.cols - column < wide ? a.y.cols - column : wide;
    for (int64_t row = a.row_begin; row < a.row_end; row += kPairRows) {
      const int64_t rows = a.row_end - row < kPairRows ? a.row_end - row : kPairRows;
      if (rows > kBlockRows && two_panels)
        multiply_block<2, 2>(span, p, row, sums);
      else if (rows > kBlockRows)
        multiply_block<2, 1>(span, p, row, sums);
      else if (two_panels)
        multiply_block<1, 2>(span, p, row, sums);
      else
        multiply_block<1, 1>(span, p, row, sums);
      write_sums(a, span, sums, row, rows, column, columns);
    }
  }
}

// Panels [panel, panel + count) for columns [begin, end) of a product's x, rounded into `buffer`.
Run prepare(const Product& product, bool transposed, int64_t panel, int64_t count, int64_t begin,
            int64_t end, uint16_t* buffer) {
  const int64_t steps = ceil_div(end - begin, kTileDepths);
  const int64_t panel_stride = steps * kTileElements;
  for (int64_t p = 0; p < count; ++p)
    round_panel(product.weight, transposed, panel + p, product.depth_begin + begin,
                product.depth_begin + end, buffer + p * panel_stride);
  const int64_t row_tiles = ceil_div(product.x.cols, kTileDepths) * kTileElements;
  return {product.tiles + begin / kTileDepths * kTileElements, row_tiles, buffer, panel_stride,
          steps};
}

}  // namespace

void pack_tiles(const PackTilesArgs& a) noexcept {
  const int64_t steps = ceil_div(a.x.cols, kTileDepths);
  for (int64_t block = a.block_begin; block < a.block_end; ++block) {
    for (int64_t r = 0; r < kBlockRows; ++r) {
      const int64_t row = block * kBlockRows + r;
      uint16_t* out = a.tiles + block * steps * kTileElements + r * kTileDepths;
      for (int64_t k = 0; k < a.x.cols; k += kTileDepths, out += kTileElements) {
        const int64_t left = row < a.x.rows ? a.x.cols - k : 0;
        if (left >= kTileDepths) {
          const float* x = a.x.row(row) + k;
          store_tile_row(out, load(x), load(x + kLanes));
          continue;
        }
        const int low = static_cast<int>(left < kLanes ? left : kLanes);
        const int high = static_cast<int>(left - low);
        const float* x = a.x.row(low ? row : 0) + k;
        store_tile_row(out, load_first(x, low), load_first(x + (high ? kLanes : 0), high));
      }
    }
  }
}

void matmul_tiles(const MatmulArgs& a) noexcept {
  const TileScope tiles;
  uint16_t* buffer = reinterpret_cast<uint16_t*>(a.scratch);
  uint16_t* second_buffer = buffer + kMatmulPanels * kLanes * kMatmulTileDepth;
  const int64_t depth = a.first.x.cols;
  for (int64_t panel = a.panel_begin; panel < a.panel_end; panel += kMatmulPanels) {
    const int64_t left = a.panel_end - panel;
    const int64_t count = left < kMatmulPanels ? left : kMatmulPanels;
    for (int64_t k = 0; k == 0 || k < depth; k += kMatmulTileDepth) {
      const int64_t stop = k + kMatmulTileDepth < depth ? k + kMatmulTileDepth : depth;
      Span span{{}, 1, k == 0 && a.first_band(), stop == depth && a.last_band()};
      span.runs[0] = prepare(a.first, a.transposed, panel, count, k, stop, buffer);
      if (span.last && a.second.x) {
        span.run_count = 2;
        span.runs[1] = prepare(a.second, a.transposed, panel, count, 0, a.second.x.cols,
                               second_buffer);
      }
      multiply_span(a, span, panel, count);
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
