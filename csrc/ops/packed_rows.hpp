// The left operand of a product, in the form in which its kernel reads it fastest.
#pragma once

#include <optional>

#include "core/memory.hpp"
#include "kernels/args.hpp"
#include "ops/matmul.hpp"

namespace lowbit::ops {

// What becomes of the rows of x before they are multiplied: nothing, a copy whose rows do not push
// each other out of the first-level cache, or codes.
enum class Packing { none, copy, int16, int8, tiles };

Packing choose_packing(const MatmulArgs& args, Compute compute);

// Columns of x to pack at a time, so that the memory it takes stays small: all of them, or a
// multiple of the depth that kernels take at a time, which leaves every bit as it is.
int64_t packed_columns(MatrixView<const float> x, Packing packing);

class PackedRows {
 public:
  // int8 takes its blocks from the product's weight. `along` is a narrow product of the same x,
  // which int16 computes while the rows are in the cache.
  PackedRows(const Product& product, Packing packing,
             const std::optional<MatmulArgs>& along = {}, const Int8Rounding& rounding = {});
  // The product, with what was packed.
  const Product& product() const { return product_; }
  // The same of rows [begin, end) of x; `begin` is a multiple of 32.
  Product rows(int64_t begin, int64_t end) const;

 private:
  void copy_rows();
  void pack_tiles();
  void pack_int16(const std::optional<MatmulArgs>& along);
  void pack_int8(const Int8Rounding& rounding);

  Product product_;
  Memory<float> floats_;
  Memory<uint16_t> tiles_;
  Memory<int16_t> codes_;
  Memory<int8_t> bytes_;
  Memory<float> scales_;
  Memory<int32_t> starts_;
  Memory<float> sums_;
};

}  // namespace lowbit::ops
