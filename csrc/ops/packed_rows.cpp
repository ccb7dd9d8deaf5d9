#include "ops/packed_rows.hpp"

#include <algorithm>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

// Columns of x that get a scale of their own in int8: the weight's group, within these bounds. With
// fewer, scaling would take a good part of a product.
constexpr int64_t kLeastInt8Scaled = 128, kMostInt8Scaled = 256;

// Rows that are rounded at a time: few enough for the second-level cache, and enough to read a
// narrow weight once for all of them.
constexpr int64_t kPackedRows = 128;

// Floats from row to row that bring all rows of a tile into two places of the first-level cache,
// where they push each other out before they are used.
constexpr int64_t kCrowdedStride = 512;

// Rows and columns of y from which a copy of such rows pays.
constexpr int64_t kCopiedRows = 9, kCopiedFor = 256;

// Bytes of packed rows for every thread, and the least columns of a band, since each band reads and
// writes all of y once more.
constexpr int64_t kBandBytes = 3 << 19, kLeastBand = 1536;

int64_t bytes_of_value(Packing packing) {
  if (packing == Packing::copy) return sizeof(float);
  return packing == Packing::int16 || packing == Packing::tiles ? 2 : 0;
}

}  // namespace

Packing choose_packing(const MatmulArgs& args, Compute compute) {
  switch (compute) {
    case Compute::int16: return Packing::int16;
    case Compute::int8: return Packing::int8;
    case Compute::bf16: return Packing::tiles;
    case Compute::fp32: break;
  }
  const MatrixView<const float>& x = args.first.x;
  const bool crowded = x.stride % kCrowdedStride == 0;
  return crowded && x.rows >= kCopiedRows && args.y.cols >= kCopiedFor ? Packing::copy
                                                                      : Packing::none;
}

int64_t packed_columns(MatrixView<const float> x, Packing packing) {
  const int64_t bytes_of_column = x.rows * bytes_of_value(packing);
  if (bytes_of_column == 0) return std::max<int64_t>(1, x.cols);
  const int64_t fit = std::max(kLeastBand, kBandBytes * get_num_threads() / bytes_of_column);
  const int64_t bands = std::max<int64_t>(1, ceil_div(x.cols, fit));
  const int64_t unit = packing == Packing::tiles ? kMatmulTileDepth : kMatmulDepth;
  return std::max(unit, round_up(ceil_div(x.cols, bands), unit));
}

PackedRows::PackedRows(const Product& product, Packing packing,
                       const std::optional<MatmulArgs>& along, const Int8Rounding& rounding)
    : product_(product) {
  switch (packing) {
    case Packing::none: break;
    case Packing::copy: copy_rows(); break;
    case Packing::int16: pack_int16(along); break;
    case Packing::int8: pack_int8(rounding); break;
    case Packing::tiles: pack_tiles(); break;
  }
}

Product PackedRows::rows(int64_t begin, int64_t end) const {
  Product part = product_;
  part.x = {product_.x.row(begin), end - begin, product_.x.cols, product_.x.stride};
  if (part.tiles) part.tiles += packed_tiles(begin, part.x.cols);
  if (part.int16.codes) {
    part.int16.codes += begin * part.int16.stride;
    part.int16.scales += begin * part.int16.stretches;
  }
  if (part.int8.codes) {
    part.int8.codes += begin * part.int8.stride;
    part.int8.scales += begin * part.int8.blocks;
    part.int8.starts += begin * part.int8.pieces;
    if (part.int8.sums) part.int8.sums += begin * part.weight.groups;
  }
  return part;
}

void PackedRows::copy_rows() {
  const MatrixView<const float> from = product_.x;
  const int64_t stride = round_up(from.cols, 16) | 16;
  floats_ = take<float>(from.rows * stride);
  parallel_for(from.rows, row_grain(from.cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      std::copy_n(from.row(r), from.cols, floats_.get() + r * stride);
  });
  product_.x = {floats_.get(), from.rows, from.cols, stride};
}

void PackedRows::pack_tiles() {
  const KernelTable& table = kernels();
  const MatrixView<const float>& x = product_.x;
  tiles_ = take<uint16_t>(packed_tiles(x.rows, x.cols));
  product_.tiles = tiles_.get();
  const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, x.cols));
  parallel_for(ceil_div(x.rows, 16), grain, [&](int64_t begin, int64_t end) {
    table.pack_tiles({x, tiles_.get(), begin, end});
  });
}

void PackedRows::pack_int16(const std::optional<MatmulArgs>& along) {
  const KernelTable& table = kernels();
  const MatrixView<const float>& x = product_.x;
  const int64_t stride = int16_stride(x.cols);
  const int64_t stretches = std::max<int64_t>(1, ceil_div(x.cols, kMatmulDepth));
  codes_ = take<int16_t>(x.rows * stride);
  scales_ = take<float>(x.rows * stretches);
  product_.int16 = {codes_.get(), scales_.get(), stride, stretches};
  parallel_for(x.rows, kPackedRows, [&](int64_t begin, int64_t end) {
    table.pack_int16({x, codes_.get(), scales_.get(), stride, stretches, begin, end});
    if (!along) return;
    MatmulArgs task = *along;
    task.scratch = scratch<float>(matmul_scratch(0));
    task.row_begin = begin, task.row_end = end;
    task.panel_begin = 0, task.panel_end = ceil_div(task.y.cols, 16);
    table.matmul(task);
  });
}

void PackedRows::pack_int8(const Int8Rounding& rounding) {
  const KernelTable& table = kernels();
  const MatrixView<const float>& x = product_.x;
  const WeightView& weight = product_.weight;
  const bool own = rounding.of == Int8Scale::block;  // every block has a scale of its own
  const int64_t most = own ? kMostInt8Scaled : kMostInt8Block;
  const int64_t piece = std::clamp<int64_t>(weight.group_size, 1, most);
  const int64_t block = own ? std::max(piece, kLeastInt8Scaled) : kMostInt8Block;
  // A tile takes 64 columns, which must not have several scales.
  const bool tiles = table.matmul_int8_tiles && x.rows >= kManyRows &&
                     (piece % 64 == 0 || piece == x.cols);
  const int64_t stride = round_up(x.cols, tiles ? 64 : 16), rows = round_up(x.rows, 16);
  const int64_t blocks = ceil_div(x.cols, block), pieces = ceil_div(x.cols, piece);
  bytes_ = take<int8_t>(rows * stride);
  scales_ = take<float>(rows * blocks);
  starts_ = take<int32_t>(rows * pieces);
  if (weight.zeros) sums_ = take<float>(rows * weight.groups);
  product_.int8 = {bytes_.get(), scales_.get(), starts_.get(), sums_.get(), tiles, stride,
                   block,        blocks,        piece,         pieces,      rounding.zero_point};
  parallel_for(rows / 16, 1, [&](int64_t begin, int64_t end) {
    table.pack_int8({x, weight.format, rounding, bytes_.get(), scales_.get(), starts_.get(),
                     sums_.get(), weight.group_size, weight.groups, tiles, stride, block, blocks,
                     piece, pieces, begin, end});
  });
}

}  // namespace lowbit::ops
