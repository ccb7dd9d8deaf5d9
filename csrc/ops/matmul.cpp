#include "ops/matmul.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

// Rows from which tiles pay for rounding x and every weight: a tile takes 16 rows at once.
constexpr int64_t kTileRowsWorth = 32;

// Cuts a product into tasks: four panels wide, and as many rows as leave every thread some tasks.
// A task's rows are a multiple of what the kernel keeps in its cache.
template <class Kernel>
void run(const MatmulArgs& args, int64_t row_unit, int64_t scratch_size, Kernel kernel) {
  const int64_t panels = ceil_div(args.y.cols, 16);
  const int64_t groups = ceil_div(panels, kMatmulPanels);
  const int64_t rows = args.y.rows;
  if (rows == 0 || panels == 0) return;
  const int64_t threads = get_num_threads();
  const int64_t wanted = std::max<int64_t>(1, 3 * threads / groups);
  const int64_t row_step =
      std::max<int64_t>(row_unit, round_up(ceil_div(rows, wanted), row_unit));
  const int64_t row_tasks = ceil_div(rows, row_step);
  const double work = 2.0 * static_cast<double>(rows) * static_cast<double>(args.y.cols) *
                      static_cast<double>(args.first.x.cols);
  // A product below about 20 microseconds costs more to hand out than to compute.
  const int64_t grain = work < 2e6 ? groups * row_tasks : 1;
  parallel_for(groups * row_tasks, grain, [&](int64_t begin, int64_t end) {
    MatmulArgs task = args;
    task.scratch = scratch<float>(scratch_size);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t group = i / row_tasks, part = i % row_tasks;
      task.panel_begin = group * kMatmulPanels;
      task.panel_end = std::min(panels, task.panel_begin + kMatmulPanels);
      task.row_begin = part * row_step;
      task.row_end = std::min(rows, task.row_begin + row_step);
      kernel(task);
    }
  });
}

}  // namespace

Compute choose_compute(const char* function, const std::string& name, int64_t rows) {
  const KernelTable& table = kernels();
  const bool tiles = table.matmul_tiles != nullptr;
  if (name == "fp32") return Compute::fp32;
  if (name == "auto") return tiles && rows >= kTileRowsWorth ? Compute::bf16 : Compute::fp32;
  check(name != "int8", function,
        ": compute=\"int8\" is not available, activations are not rounded to 8 bits; use \"fp32\""
        " or \"auto\"");
  check(name == "bf16", function, ": compute=\"", name,
        "\" is not known; use \"auto\", \"fp32\" or \"bf16\"");
  check(tiles, function, ": compute=\"bf16\" needs bf16 tiles (AMX), and the instruction set in use"
        " is ", table.isa, "; use \"fp32\" or \"auto\"");
  return Compute::bf16;
}

std::unique_ptr<uint16_t[]> pack_rows(MatrixView<const float> x, Compute compute) {
  const KernelTable& table = kernels();
  if (compute != Compute::bf16 || !table.pack_tiles) return nullptr;
  std::unique_ptr<uint16_t[]> tiles(
      new uint16_t[static_cast<size_t>(packed_tiles(x.rows, x.cols))]);
  const int64_t blocks = ceil_div(x.rows, 16);
  const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, x.cols));
  parallel_for(blocks, grain, [&](int64_t begin, int64_t end) {
    table.pack_tiles({x, tiles.get(), begin, end});
  });
  return tiles;
}

void matmul(MatmulArgs args, Compute compute) {
  const KernelTable& table = kernels();
  const int64_t second_depth = args.second.x.cols;
  if (compute == Compute::fp32 || !table.matmul_tiles) {
    run(args, 48, matmul_scratch(second_depth), table.matmul);
    return;
  }
  std::unique_ptr<uint16_t[]> first, second;
  if (!args.first.tiles) {
    first = pack_rows(args.first.x, compute);
    args.first.tiles = first.get();
  }
  if (args.second.x && !args.second.tiles) {
    second = pack_rows(args.second.x, compute);
    args.second.tiles = second.get();
  }
  run(args, 32, matmul_tiles_scratch(second_depth), table.matmul_tiles);
}

}  // namespace lowbit::ops
