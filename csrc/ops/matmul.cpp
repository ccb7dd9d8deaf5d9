#include "ops/matmul.hpp"

#include <algorithm>
#include <optional>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/formats.hpp"

namespace lowbit::ops {
namespace {

// Rows from which it pays to round x and every weight first.
constexpr int64_t kManyRows = 32;

// Rows up to which packed and dense weights go straight into the sums instead of into panels.
// Measured: with nine, or five, a panel that all of them use is as fast.
constexpr int64_t kFewRows = 8, kFewDenseRows = 4;

// Columns of x that share a scale in int8: the weight's group, within these bounds. With fewer,
// scaling would take a good part of a product.
constexpr int64_t kLeastInt8Block = 128, kMostInt8Block = 256;

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

// Rows that are rounded at a time: few enough for the second-level cache, and enough to read a
// narrow weight once for all of them.
constexpr int64_t kPackedRows = 192;

// Floats from row to row that bring all rows of a tile into two places of the first-level cache,
// where they push each other out before they are used.
constexpr int64_t kCrowdedStride = 512;

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
void run_few(const MatmulArgs& args, Kernel kernel) {
  const int64_t panels = ceil_div(args.y.cols, 16), depth = args.first.x.cols;
  // Panels that take about 20 microseconds, and as many as the kernels sum side by side.
  const int64_t each = 16 * std::max<int64_t>(1, depth * args.y.rows);
  const int64_t grain = round_up(ceil_div(65536, each), kMatmulPanels);
  parallel_for(panels, grain, [&](int64_t begin, int64_t end) {
    MatmulArgs task = args;
    task.scratch = scratch<float>(matmul_few_scratch(args.second.x.cols));
    task.row_begin = 0, task.row_end = args.y.rows;
    task.panel_begin = begin, task.panel_end = end;
    kernel(task);
  });
}

void multiply_int8(const MatmulArgs& args) {
  const KernelTable& table = kernels();
  const int64_t rank = args.second.x.cols;
  const int64_t bytes_of_row = std::max<int64_t>(1, args.first.int8.stride);
  const int64_t most_rows = std::max<int64_t>(48, kInt8TaskBytes / bytes_of_row);
  if (args.first.int8.tiles)
    run(args, 32, most_rows, matmul_int8_tiles_scratch(rank), table.matmul_int8_tiles);
  else if (args.y.rows <= most_rows)
    run_few(args, table.matmul_int8);
  else
    run(args, 16, most_rows, 16 * rank, table.matmul_int8);
}

bool takes_few(const MatmulArgs& args) {
  const bool packed = format_info(args.first.weight.format).packed;
  return args.y.rows <= (packed ? kFewRows : kFewDenseRows) && !args.transposed;
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
    check(format_info(format).packed, function, ": compute=\"int8\" needs a weight in int8, int4 or"
          " nf4, and this one is ", format_info(format).name, "; quantize it, or use \"auto\"");
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

PackedRows::PackedRows(MatrixView<const float> x, Compute compute, const WeightView& weight,
                       const std::optional<MatmulArgs>& along)
    : x_(x) {
  if (compute == Compute::int16) {
    pack_int16(along);
    return;
  }
  if (compute == Compute::int8) pack_int8(weight);
  if (compute == Compute::fp32 && x.rows > kFewRows && x.stride % kCrowdedStride == 0) copy_rows();
  if (compute == Compute::bf16 && kernels().pack_tiles) pack_tiles();
  if (!along) return;
  MatmulArgs args = *along;
  args.first.tiles = tiles_.get();
  matmul(args, compute);
}

void PackedRows::copy_rows() {
  const MatrixView<const float> from = x_;
  const int64_t stride = round_up(from.cols, 16) | 16;
  floats_ = take<float>(from.rows * stride);
  parallel_for(from.rows, row_grain(from.cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      std::copy_n(from.row(r), from.cols, floats_.get() + r * stride);
  });
  x_ = {floats_.get(), from.rows, from.cols, stride};
}

void PackedRows::pack_tiles() {
  const KernelTable& table = kernels();
  tiles_ = take<uint16_t>(packed_tiles(x_.rows, x_.cols));
  const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, x_.cols));
  parallel_for(ceil_div(x_.rows, 16), grain, [&](int64_t begin, int64_t end) {
    table.pack_tiles({x_, tiles_.get(), begin, end});
  });
}

void PackedRows::pack_int16(const std::optional<MatmulArgs>& along) {
  const KernelTable& table = kernels();
  const int64_t stride = int16_stride(x_.cols);
  const int64_t stretches = std::max<int64_t>(1, ceil_div(x_.cols, kMatmulDepth));
  codes_ = take<int16_t>(x_.rows * stride);
  scales_ = take<float>(x_.rows * stretches);
  int16_ = {codes_.get(), scales_.get(), stride, stretches};
  parallel_for(x_.rows, kPackedRows, [&](int64_t begin, int64_t end) {
    table.pack_int16({x_, codes_.get(), scales_.get(), stride, stretches, begin, end});
    if (!along) return;
    MatmulArgs task = *along;
    task.scratch = scratch<float>(matmul_scratch(0));
    task.row_begin = begin, task.row_end = end;
    task.panel_begin = 0, task.panel_end = ceil_div(task.y.cols, 16);
    table.matmul(task);
  });
}

void PackedRows::pack_int8(const WeightView& weight) {
  const KernelTable& table = kernels();
  const int64_t piece = std::clamp<int64_t>(weight.group_size, 1, kMostInt8Block);
  const int64_t block = std::max(piece, kLeastInt8Block);
  // A tile takes 64 columns, which must not have several scales.
  const bool tiles = table.matmul_int8_tiles && x_.rows >= kManyRows &&
                     (piece % 64 == 0 || piece == x_.cols);
  const int64_t stride = round_up(x_.cols, tiles ? 64 : 16), rows = round_up(x_.rows, 16);
  const int64_t blocks = ceil_div(x_.cols, block), pieces = ceil_div(x_.cols, piece);
  bytes_ = take<int8_t>(rows * stride);
  scales_ = take<float>(rows * blocks);
  starts_ = take<int32_t>(rows * pieces);
  int8_ = {bytes_.get(), scales_.get(), starts_.get(), tiles, stride, block, blocks, piece, pieces};
  parallel_for(rows / 16, 1, [&](int64_t begin, int64_t end) {
    table.pack_int8({x_, weight.format, bytes_.get(), scales_.get(), starts_.get(), tiles, stride,
                     block, blocks, piece, pieces, begin, end});
  });
}

Product PackedRows::times(const WeightView& weight) const {
  return {x_, weight, tiles_.get(), int16_, int8_};
}

void matmul(MatmulArgs args, Compute compute) {
  const KernelTable& table = kernels();
  const int64_t second_depth = args.second.x.cols;
  const int64_t most_rows = args.first.x.cols > kMatmulDepth ? kMostTaskRows : 4 * kMostTaskRows;
  if (compute == Compute::int16 && args.first.int16.codes) {
    run(args, kTileRows, most_rows, matmul_int16_scratch(second_depth), table.matmul_int16);
    return;
  }
  if (compute == Compute::int8 && args.first.int8.codes) {
    multiply_int8(args);
    return;
  }
  if (compute == Compute::fp32 && takes_few(args)) {
    run_few(args, table.matmul_few);
    return;
  }
  if (compute != Compute::bf16 || !table.matmul_tiles) {
    run(args, kTileRows, most_rows, matmul_scratch(second_depth), table.matmul);
    return;
  }
  std::optional<PackedRows> first, second;
  const auto pack = [&](Product& product, std::optional<PackedRows>& packed) {
    if (product.x && !product.tiles)
      product = packed.emplace(product.x, compute, product.weight).times(product.weight);
  };
  pack(args.first, first);
  pack(args.second, second);
  run(args, 32, most_rows, matmul_tiles_scratch(second_depth), table.matmul_tiles);
}

void multiply_here(MatmulArgs args) {
  args.row_begin = 0, args.row_end = args.y.rows;
  args.panel_begin = 0, args.panel_end = ceil_div(args.y.cols, 16);
  args.scratch = scratch<float>(matmul_scratch(args.second.x.cols));
  (takes_few(args) ? kernels().matmul_few : kernels().matmul)(args);
}

}  // namespace lowbit::ops
