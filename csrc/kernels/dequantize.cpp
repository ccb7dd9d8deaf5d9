// Any format to row-major floats: panels of 16 rows x 128 columns, transposed in registers.
#include "formats/panel.hpp"
#include "kernels/args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Columns of a row that are written one after the other: rows a power of two apart take the same
// few places of the first-level cache, and a stream wants memory in order. Panel and tile are 8 kB.
constexpr int64_t kRun = 128;

// The last columns have no loop of their own: GCC would make one slow `rep movs` of the others.
void write_run(const float* from, int64_t columns, bool streamed, float* to) {
  for (int64_t c = 0; c < columns; c += kLanes) {
    const F32 values = load(from + c);
    if (columns - c < kLanes)
      store_first(to + c, values, static_cast<int>(columns - c));
    else if (streamed)
      stream(to + c, values);
    else
      store(to + c, values);
  }
}

}  // namespace

void dequantize(const DequantizeArgs& a) noexcept {
  alignas(64) float panel[kRun * kLanes], tile[kLanes * kRun];
  const WeightView& w = a.source;
  for (int64_t block = a.block_begin; block < a.block_end; ++block) {
    const int64_t row0 = block * kBlockRows;
    const int64_t rows = w.rows - row0 < kBlockRows ? w.rows - row0 : kBlockRows;
    for (int64_t k = 0; k < w.cols; k += kRun) {
      const int64_t columns = w.cols - k < kRun ? w.cols - k : kRun;
      read_panel(w, block, k, k + columns, panel);
      for (int64_t c = 0; c < columns; c += kLanes)
        transpose16(panel + c * kLanes, kLanes, tile + c, kRun);
      for (int64_t r = 0; r < rows; ++r)
        write_run(tile + r * kRun, columns, a.stream, a.out.row(row0 + r) + k);
    }
  }
  if (a.stream) stream_fence();
}

}  // namespace lowbit::LOWBIT_ISA
