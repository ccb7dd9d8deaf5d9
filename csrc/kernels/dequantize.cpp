// Any format to row-major floats: panels of 16 rows x 16 columns, transposed in registers.
#include "formats/panel.hpp"
#include "kernels/args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

void dequantize(const DequantizeArgs& a) noexcept {
  constexpr int64_t kChunk = 64;
  float panel[kChunk * kLanes], tile[kLanes * kLanes];
  const WeightView& w = a.source;
  for (int64_t block = a.block_begin; block < a.block_end; ++block) {
    const int64_t row0 = block * kBlockRows;
    const int64_t rows = w.rows - row0 < kBlockRows ? w.rows - row0 : kBlockRows;
    for (int64_t k = 0; k < w.cols; k += kChunk) {
      const int64_t stop = k + kChunk < w.cols ? k + kChunk : w.cols;
      read_panel(w, block, k, stop, panel);
      for (int64_t c = k; c < stop; c += kLanes) {
        const int columns = static_cast<int>(stop - c < kLanes ? stop - c : kLanes);
        transpose16(panel + (c - k) * kLanes, kLanes, tile, kLanes);
        for (int64_t r = 0; r < rows; ++r)
          store_first(a.out.row(row0 + r) + c, load(tile + r * kLanes), columns);
      }
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
