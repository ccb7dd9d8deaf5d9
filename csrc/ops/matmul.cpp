#include "ops/matmul.hpp"

#include <algorithm>
#include <optional>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/formats.hpp"
#include "ops/packed_rows.hpp"

namespace lowbit::ops {
namespace {

// Rows up to which packed and dense weights go straight into the sums instead of into panels.
// Measured: with nine, or five, a panel that all of them use is as fast.
constexpr int64_t kFewRows = 8, kFewDenseRows = 4;

// Bytes of a task's rows of x in int8, which are read again for every panel: they stay in the
// second-level cache beside the panel's codes.
constexpr int64_t kInt8TaskBytes = 256 * 1024;

// Rows that fill the register tiles of every instruction set.
constexpr int64_t kTileRows = 12;

// Rows of a task at most: its part of x and y stays in the second-level cache from one stretch of
// the depth to the next.
constexpr int64_t kMostTaskRows = 576;

// Rows from which a thread has its own, unless all of x is too large for its second-level cache:
// preparing the panels once more costs less than reading rows that another core has there.
constexpr int64_t kSharedRows = 192;
constexpr int64_t kSharedValues = 1 << 20;

// Into how many parts the rows are cut, so that every thread has its own, or some tasks at least.
int64_t row_parts(const MatmulArgs& args, int64_t groups, int64_t most) {
  const int64_t threads = get_num_threads(), rows = args.y.rows;
  const bool own = rows * args.first.x.cols <= kSharedValues;
  return std::max<int64_t>({1, own ? std::min(threads, rows / kSharedRows) : 1,
                            3 * threads / groups, ceil_div(rows, most)});
}

// Cuts a product into tasks, four panels wide. A task's rows are a multiple of `row_unit`, which
// fills the kernel's tiles, and about `most_rows` at most.
template <class Kernel>
void run(const MatmulArgs& args, int64_t row_unit, int64_t most_rows, int64_t scratch_size,
         Kernel kernel) {
  const int64_t panels = ceil_div(args.y.cols, 16);
  const int64_t groups = ceil_div(panels, kMatmulPanels);
  const int64_t rows = args.y.rows;
  if (rows == 0 || panels == 0) return;
  const int64_t parts = row_parts(args, groups, most_rows);
  const int64_t row_step = std::max<int64_t>(row_unit, round_up(ceil_div(rows, parts), row_unit));
  const int64_t row_tasks = ceil_div(rows, row_step);
  const double work = 2.0 * static_cast<double>(rows) * static_cast<double>(args.y.cols) *
                      static_cast<double>(args.first.x.cols);
  // A product below about 20 microseconds costs more to hand out than to compute.
  const int64_t grain = work < 2e6 ? groups * row_tasks : 1;
  parallel_for(groups * row_tasks, grain, [&](int64_t begin, int64_t end) {
    MatmulArgs task = args;
    task.scratch = scratch<float>(scratch_size);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t part = i / groups, group = i % groups;
      task.panel_begin = group * kMatmulPanels;
      task.panel_end = std::min(panels, task.panel_begin + kMatmulPanels);
      task.row_begin = part * row_step;
      task.row_end = std::min(rows, task.row_begin + row_step);
      kernel(task);
    }
  });
}

// A product with few rows: neighbouring panels go to one thread, which reads their codes as one
// stream.
template <class Kernel>
void run_few(const MatmulArgs& args, int64_t scratch_size, Kernel kernel) {
  const int64_t panels = ceil_div(args.y.cols, 16), depth = args.first.x.cols;
  // Panels that take about 20 microseconds, and as many as the kernels sum side by side.
  const int64_t each = 16 * std::max<int64_t>(1, depth * args.y.rows);
  const int64_t grain = round_up(ceil_div(65536, each), kMatmulPanels);
  parallel_for(panels, grain, [&](int64_t begin, int64_t end) {
    MatmulArgs task = args;
    task.scratch = scratch<float>(scratch_size);
    task.row_begin = 0, task.row_end = args.y.rows;
    task.panel_begin = begin, task.panel_end = end;
    kernel(task);
  });
}

bool takes_few(const MatmulArgs& args) {
  const bool packed = format_info(args.first.weight.format).packed;
  return args.y.rows <= (packed ? kFewRows : kFewDenseRows) && !args.transposed;
}

struct ChosenKernel {
  void (*kernel)(const MatmulArgs&) noexcept;
  int64_t scratch;  // floats
  bool few = false;
};

ChosenKernel choose_kernel(const MatmulArgs& args, Compute compute) {
  const KernelTable& table = kernels();
  const int64_t rank = args.second.x.cols;
  const Int8Rows& bytes = args.first.int8;
  if (compute == Compute::int16 && args.first.int16.codes)
    return {table.matmul_int16, matmul_int16_scratch(rank)};
  if (compute == Compute::int8 && bytes.tiles)
    return {table.matmul_int8_tiles, matmul_int8_tiles_scratch(rank)};
  if (compute == Compute::int8 && bytes.codes)
    return {table.matmul_int8, matmul_int8_scratch(rank, bytes.pieces)};
  if (compute == Compute::bf16) return {table.matmul_tiles, matmul_tiles_scratch(rank)};
  if (takes_few(args))
    return {table.matmul_few, matmul_few_scratch(rank, args.first.weight), true};
  return {table.matmul, matmul_scratch(rank)};
}

void multiply_int8(const MatmulArgs& args, const ChosenKernel& choice) {
  const Int8Rows& bytes = args.first.int8;
  const int64_t bytes_of_row = std::max<int64_t>(1, bytes.stride);
  const int64_t most_rows = std::max<int64_t>(48, kInt8TaskBytes / bytes_of_row);
  if (!bytes.tiles && args.y.rows <= most_rows)
    run_few(args, choice.scratch, choice.kernel);
  else
    run(args, bytes.tiles ? 32 : 16, most_rows, choice.scratch, choice.kernel);
}

void multiply_packed(const MatmulArgs& args, Compute compute) {
  const ChosenKernel choice = choose_kernel(args, compute);
  const int64_t most_rows = args.first.x.cols > kMatmulDepth ? kMostTaskRows : 4 * kMostTaskRows;
  if (compute == Compute::int8 && args.first.int8.codes)
    multiply_int8(args, choice);
  else if (choice.few)
    run_few(args, choice.scratch, choice.kernel);
  else
    run(args, compute == Compute::bf16 ? 32 : kTileRows, most_rows, choice.scratch, choice.kernel);
}

// The columns of a product's x from `begin` on.
Product band(const Product& product, int64_t begin, int64_t columns) {
  Product part = product;
  part.x = {product.x.data + begin, product.x.rows, columns, product.x.stride};
  part.depth_begin = begin;
  return part;
}

}  // namespace

Compute choose_compute(const char* function, const std::string& name, int64_t rows, Format format) {
  const KernelTable& table = kernels();
  const bool tiles = table.matmul_tiles != nullptr;
  if (name == "fp32") return Compute::fp32;
  if (name == "int16") return Compute::int16;
  if (name == "auto") {
    if (rows < kManyRows) return Compute::fp32;
    if (tiles) return Compute::bf16;
    return table.fast_int16 && format != Format::fp32 ? Compute::int16 : Compute::fp32;
  }
  if (name == "int8") {
    check(format_info(format).packed, function, ": compute=\"int8\" needs a weight in ",
          packed_names(), ", and this one is ", format_info(format).name,
          "; quantize it, or use \"auto\"");
    return Compute::int8;
  }
  check(name == "bf16", function, ": compute=\"", name,
        "\" is not known; use \"auto\", \"fp32\", \"int16\", \"int8\" or \"bf16\"");
  check(tiles, function, ": compute=\"bf16\" needs bf16 tiles (AMX), and the instruction set in use"
        " is ", table.isa, "; use \"int16\", \"fp32\" or \"auto\"");
  return Compute::bf16;
}

Compute choose_backward(const char* function, const std::string& name, int64_t rows,
                        Format format) {
  const Compute compute = choose_compute(function, name, rows, format);
  return compute == Compute::int8 ? Compute::int16 : compute;
}

void matmul(MatmulArgs args, Compute compute, std::optional<MatmulArgs> along,
            const Int8Rounding& rounding) {
  const Product first = args.first;
  const Packing packing = choose_packing(args, compute);
  const int64_t depth = first.x.cols, width = packed_columns(first.x, packing);
  std::optional<PackedRows> second;
  for (int64_t begin = 0; begin == 0 || begin < depth; begin += width) {
    const int64_t columns = std::min(width, depth - begin);
    if (along) along->first = band({first.x, along->first.weight}, begin, columns);
    const PackedRows packed(band(first, begin, columns), packing, along, rounding);
    args.first = packed.product();
    if (along && packing != Packing::int16) {
      along->first.tiles = args.first.tiles;
      multiply_packed(*along, compute);
    }
    // Now, since `along` may be what makes its x.
    const bool last = begin + columns == depth;
    if (last && args.second.x && packing == Packing::tiles)
      args.second = second.emplace(args.second, packing).product();
    multiply_packed(args, compute);
  }
}

void multiply_here(MatmulArgs args, Compute compute) {
  args.row_begin = 0, args.row_end = args.y.rows;
  args.panel_begin = 0, args.panel_end = ceil_div(args.y.cols, 16);
  const ChosenKernel choice = choose_kernel(args, compute);
  args.scratch = scratch<float>(choice.scratch);
  choice.kernel(args);
}

}  // namespace lowbit::ops
