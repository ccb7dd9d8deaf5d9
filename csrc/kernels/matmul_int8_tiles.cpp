// The product of matmul_int8.cpp for many rows, in matrix tiles of bytes. Compiled for AMX
// alone, like matmul_tiles.cpp. The same integers are summed and the same floats follow in the same
// order, so the bits are those of matmul_int8.
//
//   for each four panels (64 columns of y)
//     for each 1024 of the depth: unpack the four panels to bytes once
//       for each two panels: for each 32 rows of x
//         for each piece of a block of x: 2 x 2 tiles of sums, scaled and added in float32
#include "formats/format.hpp"
#include "formats/panel.hpp"
#include "formats/scales.hpp"
#include "kernels/few.hpp"
#include "kernels/zero_point.hpp"
#include "simd/amx.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr int kPairRows = 32, kPairColumns = 32;  // of 2 x 2 tiles
constexpr int64_t kPanelBytes = kLanes * kMatmulInt8TileDepth;

// A block of y while it is summed.
using Block = float[kPairRows * kPairColumns];

struct Span {
  int64_t panel, count;  // panels of this group
  int64_t begin, end;    // depth
  const uint8_t* bytes;  // of the panels
  const int32_t* zeros;  // what their sums begin with because of x's zero point; null without one
  const float* low_rank;
  bool first, last;
};

// Depths [begin, end) of one panel as bytes: quads of depths of 16 columns, as a line of int8 is.
template <class Packed, int first = 0>
inline void store_quads(const Packed& format, I32 line, uint8_t* out) {
  const auto weights = format.template integers<first>(line);
  __builtin_memcpy(out + first * kLanes, &weights.bytes, 64);
  if constexpr (first + 4 < Packed::kColumnsPerLine)
    store_quads<Packed, first + 4>(format, line, out);
}

void unpack(const WeightView& w, int64_t panel, int64_t begin, int64_t end, uint8_t* out) {
  visit(w.format, [&](auto tag) {
    using Packed = typename decltype(tag)::type;
    if constexpr (tag.packed) {
      constexpr int64_t kLine = Packed::kColumnsPerLine;
      const Packed& format = tag.format;
      const uint8_t* lines = w.lines(panel, kLine);
      for (int64_t k = begin; k < end; k += kLine)
        store_quads(format, load_i32(lines + k / kLine * 64), out + (k - begin) * kLanes);
    }
  });
}

void read_zero_point(const MatmulArgs& a, int64_t panel, int64_t begin, int64_t end,
                     int32_t* out) {
  visit(a.first.weight.format, [&](auto tag) {
    if constexpr (tag.packed)
      read_zero_point_starts(tag.format, a.first.weight, a.first.int8, panel, begin, end, out);
  });
}

// One block of y: rows from `row` on, and columns of one or two panels.
class Place {
 public:
  Place(const MatmulArgs& a, const Span& span, int64_t panel, int64_t row)
      : a_(a),
        span_(span),
        panel_(panel),
        row_(row),
        rows_(least(a.row_end - row, kPairRows)),
        panels_(static_cast<int>(least(span.panel + span.count - panel, 2))) {}

  // What the sums start from: bias and residual, or what y holds since the last stretch.
  void load_sums(Block& sums) const {
    each([&](int64_t r, int p, int64_t column, int lanes) {
      F32 start = zero();
      if (!span_.first) {
        start = load_first(a_.y.row(row_ + r) + column, lanes);
      } else {
        if (a_.bias) start = load_first(a_.bias + column, lanes);
        if (a_.residual)
          start = start + load_first(a_.residual.row(row_ + r) + column, lanes);
      }
      store(at(sums, r, p), start);
      if (const float* x_sums = span_.first ? a_.first.int8.sums : nullptr) {
        const WeightView& w = a_.first.weight;
        subtract_zeros(w, panel_ + p, x_sums + (row_ + r) * w.groups, 1, at(sums, r, p));
      }
    });
  }

  // sums += the products of all blocks of this stretch.
  void add_blocks(Block& sums) const {
    const Int8Rows& x = a_.first.int8;
    alignas(64) Block part;  // the sums of a block of x, which lack its scale
    for (int64_t k = span_.begin; k < span_.end; k += x.piece)
      add_piece(k, least(span_.end - k, x.piece), part, sums);
  }

  // Adds the low-rank part when the depth is done, and writes.
  void store_sums(Block& sums) const {
    const F32 scale = set1(span_.last ? a_.scale : 1.0f);
    const MatrixView<const float>& x = a_.second.x;
    each([&](int64_t r, int p, int64_t column, int lanes) {
      F32 sum = load(at(sums, r, p));
      if (span_.last && x) {
        const int64_t i = panel_ - span_.panel + p;
        const float* b = span_.low_rank + i * kLanes * round_up(x.cols, 16);
        for (int64_t k = 0; k < x.cols; ++k)
          sum = fma(set1(x.row(row_ + r)[k]), load(b + k * kLanes), sum);
      }
      store_first(a_.y.row(row_ + r) + column, sum * scale, lanes);
    });
  }

 private:
  static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
  static float* at(Block& sums, int64_t row, int panel) {
    return sums + row * kPairColumns + panel * kLanes;
  }

  // use(row, panel, column of y, columns that exist), for all rows and panels of the block.
  template <class Use>
  void each(Use use) const {
    for (int64_t r = 0; r < rows_; ++r)
      for (int p = 0; p < panels_; ++p) {
        const int64_t column = (panel_ + p) * kLanes;
        use(r, p, column, static_cast<int>(least(a_.y.cols - column, kLanes)));
      }
  }

  void add_piece(int64_t k, int64_t count, Block& part, Block& sums) const {
    const WeightView& w = a_.first.weight;
    const Int8Rows& x = a_.first.int8;
    alignas(64) int32_t totals[kPairRows * kPairColumns];
    multiply(k, ceil_div(count, kByteTileDepths), totals);
    const bool begins = k % x.block == 0;
    const bool ends = k + count == span_.end || (k + count) % x.block == 0;
    for (int p = 0; p < panels_; ++p) {
      const F32 scale = BlockScales(w, panel_ + p)[k / w.group_size];
      const I32 zero_start = zeros(p, k);
      for (int64_t r = 0; r < rows_; ++r) {
        const int64_t group = row_ + r / kBlockRows * kBlockRows, in_group = r % kBlockRows;
        const int32_t start = x.starts[group * x.pieces + k / x.piece * kBlockRows + in_group];
        const I32 total =
            load_i32(totals + r * kPairColumns + p * kLanes) + (zero_start + set1i(start));
        const F32 before = begins ? zero() : load(at(part, r, p));
        const F32 sum = fma(to_float(total), scale, before);
        store(at(part, r, p), sum);
        if (!ends) continue;
        const float x_scale = x.scales[group * x.blocks + k / x.block * kBlockRows + in_group];
        store(at(sums, r, p), fma(sum, set1(x_scale), load(at(sums, r, p))));
      }
    }
  }

  I32 zeros(int panel, int64_t k) const {
    if (!span_.zeros) return set1i(0);
    const int64_t piece = (k - span_.begin) / a_.first.int8.piece;
    const int64_t place = (panel_ - span_.panel + panel) * kMostInt8TilePieces + piece;
    return load_i32(span_.zeros + place * kLanes);
  }

  void multiply(int64_t k, int64_t steps, int32_t* totals) const {
    const Int8Rows& x = a_.first.int8;
    const int8_t* rows = x.codes + row_ * x.stride + k * kBlockRows;
    const uint8_t* panels =
        span_.bytes + (panel_ - span_.panel) * kPanelBytes + (k - span_.begin) * kLanes;
    const int64_t next = kBlockRows * x.stride;
    const auto run = [&]<int high, int wide>() {
      clear_sums<high, wide>();
      multiply_byte_tiles<high, wide>(rows, next, panels, kPanelBytes, steps);
      LOWBIT_ISA::store_sums<high, wide>(reinterpret_cast<float*>(totals), kPairColumns);
    };
    if (rows_ > kBlockRows && panels_ > 1)
      run.template operator()<2, 2>();
    else if (rows_ > kBlockRows)
      run.template operator()<2, 1>();
    else if (panels_ > 1)
      run.template operator()<1, 2>();
    else
      run.template operator()<1, 1>();
  }

  const MatmulArgs& a_;
  const Span& span_;
  int64_t panel_, row_, rows_;
  int panels_;
};

void multiply_span(const MatmulArgs& a, const Span& span) {
  alignas(64) Block sums;
  for (int64_t panel = span.panel; panel < span.panel + span.count; panel += 2)
    for (int64_t row = a.row_begin; row < a.row_end; row += kPairRows) {
      const Place place(a, span, panel, row);
      place.load_sums(sums);
      place.add_blocks(sums);
      place.store_sums(sums);
    }
}

}  // namespace

void matmul_int8_tiles(const MatmulArgs& a) noexcept {
  const TileScope tiles;
  uint8_t* bytes = reinterpret_cast<uint8_t*>(a.scratch);
  constexpr int64_t kZeros = kMostInt8TilePieces * kLanes;  // of a panel
  int32_t* zeros = reinterpret_cast<int32_t*>(bytes + kMatmulPanels * kPanelBytes);
  if (a.first.int8.zero_point == 0) zeros = nullptr;
  float* low_rank = a.scratch + kMatmulPanels * (kPanelBytes / 4 + kZeros);
  const int64_t depth = a.first.x.cols, rank = a.second.x.cols;
  for (int64_t panel = a.panel_begin; panel < a.panel_end; panel += kMatmulPanels) {
    const int64_t left = a.panel_end - panel;
    const int64_t count = left < kMatmulPanels ? left : kMatmulPanels;
    for (int64_t p = 0; p < count && a.second.x; ++p)
      read_panel(a.second.weight, panel + p, 0, rank,
                 low_rank + p * kLanes * round_up(rank, 16));
    for (int64_t k = 0; k == 0 || k < depth; k += kMatmulInt8TileDepth) {
      const int64_t stop = k + kMatmulInt8TileDepth < depth ? k + kMatmulInt8TileDepth : depth;
      for (int64_t p = 0; p < count; ++p) {
        unpack(a.first.weight, panel + p, k, stop, bytes + p * kPanelBytes);
        if (zeros) read_zero_point(a, panel + p, k, stop, zeros + p * kZeros);
      }
      multiply_span(a, {panel, count, k, stop, bytes, zeros, low_rank, k == 0, stop == depth});
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
