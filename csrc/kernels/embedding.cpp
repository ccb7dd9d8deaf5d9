// Rows of an embedding table, summed with positions and segment types; and the table's rounding.
#include "formats/format.hpp"
#include "formats/panel.hpp"
#include "kernels/encoder_args.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// 16 values of a row, or the first `lanes` of them through a padded copy.
inline F32 read_table(const TableView& t, int64_t row, int64_t column, int lanes) {
  const int64_t at = row * t.cols + column;
  if (t.format == Format::bf16 || t.format == Format::fp16) {
    const uint16_t* words = static_cast<const uint16_t*>(t.data) + at;
    uint16_t tile[kLanes] = {};
    if (lanes < kLanes)
      for (int i = 0; i < lanes; ++i) tile[i] = words[i];
    const uint16_t* from = lanes == kLanes ? words : tile;
    return t.format == Format::bf16 ? load_bf16(from) : load_fp16(from);
  }
  if (t.format == Format::int8) {
    const int8_t* codes = static_cast<const int8_t*>(t.data) + at;
    int8_t tile[kLanes] = {};
    if (lanes < kLanes)
      for (int i = 0; i < lanes; ++i) tile[i] = codes[i];
    return to_float(load_i8(lanes == kLanes ? codes : tile)) * set1(t.scales[row]);
  }
  return load_first(static_cast<const float*>(t.data) + at, lanes);
}

// Rows of a packed table: 16 of them are decoded, 64 columns at a time, and one is picked.
class PackedTable {
 public:
  explicit PackedTable(const WeightView& w) : w_(w) {}

  // Columns of a row are asked for in their order.
  F32 read(int64_t row, int64_t column, int lanes) {
    const int64_t at = column % kChunk;
    if (at == 0) {
      const int64_t end = column + kChunk < w_.cols ? column + kChunk : w_.cols;
      read_panel(w_, row / kBlockRows, column, end, panel_);
    }
    float values[kLanes] = {};
    for (int i = 0; i < lanes; ++i) values[i] = panel_[(at + i) * kLanes + row % kBlockRows];
    return load(values);
  }

 private:
  static constexpr int64_t kChunk = 64;
  const WeightView& w_;
  float panel_[kChunk * kLanes];
};

}  // namespace

void embed(const EmbedArgs& a) noexcept {
  const int64_t columns = a.word.cols;
  PackedTable packed(a.word.packed);
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const float* position = a.position ? a.position.row(a.position_ids[r]) : nullptr;
    const float* type = a.type ? a.type.row(a.type_ids[r]) : nullptr;
    for (int64_t c = 0; c < columns; c += kLanes) {
      const int lanes = static_cast<int>(columns - c < kLanes ? columns - c : kLanes);
      F32 sum = a.word.packed.data ? packed.read(a.ids[r], c, lanes)
                                   : read_table(a.word, a.ids[r], c, lanes);
      // Word and type first: the order in which BERT adds them.
      if (type) sum = sum + load_first(type + c, lanes);
      if (position) sum = sum + load_first(position + c, lanes);
      store_first(a.out.row(r) + c, sum, lanes);
    }
  }
}

void quantize_rows(const QuantizeRowsArgs& a) noexcept {
  const int64_t columns = a.source.cols;
  const Int8 format;
  for (int64_t r = a.row_begin; r < a.row_end; ++r) {
    const float* row = a.source.row(r);
    F32 top = zero();
    for (int64_t c = 0; c < columns; c += kLanes) {
      const int lanes = static_cast<int>(columns - c < kLanes ? columns - c : kLanes);
      top = max(top, abs(load_first(row + c, lanes)));
    }
    const F32 extreme = set1(reduce_max(top));
    store_first(a.scales + r, Int8::scale(extreme), 1);
    const F32 inverse = Int8::inverse(extreme);
    for (int64_t c = 0; c < columns; c += kLanes) {
      const int lanes = static_cast<int>(columns - c < kLanes ? columns - c : kLanes);
      int32_t codes[kLanes];
      store_i32(codes, format.encode(load_first(row + c, lanes), inverse));
      for (int i = 0; i < lanes; ++i) a.codes[r * columns + c + i] = static_cast<int8_t>(codes[i]);
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
