// Floats to the codes and scales of a packed format.
//
// A group of 16 rows is read as a panel, lanes = rows, so the extreme of each group is a vertical
// maximum and nothing is ever summed across lanes.
#include "formats/format.hpp"
#include "formats/panel.hpp"
#include "kernels/args.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

template <class Packed, int column = 0>
I32 encode_line(const Packed& format, const float* panel, F32 inverse) {
  const I32 code = Packed::template place<column>(
      format.encode(load(panel + column * kLanes), inverse));
  if constexpr (column + 1 < Packed::kColumnsPerLine)
    return code | encode_line<Packed, column + 1>(format, panel, inverse);
  else
    return code;
}

template <class Packed>
void quantize_group(const QuantizeArgs& a, int64_t block, int64_t group) {
  constexpr int per_line = Packed::kColumnsPerLine;
  constexpr int64_t kChunk = 64;  // columns read at a time; the group may be a whole row
  const Packed format;
  const WeightView source =
      dense_weight(a.source.data, a.source.rows, a.source.cols, a.source.stride);
  const int64_t begin = group * a.group_size;
  const int64_t end = begin + a.group_size < source.cols ? begin + a.group_size : source.cols;
  float panel[kChunk * kLanes];

  F32 extreme = zero();
  for (int64_t k = begin; k < end; k += kChunk) {
    const int64_t stop = k + kChunk < end ? k + kChunk : end;
    read_panel(source, block, k, stop, panel);
    for (int64_t i = 0; i < stop - k; ++i) {
      const F32 x = load(panel + i * kLanes);
      extreme = select_less(abs(extreme), abs(x), x, extreme);
    }
  }
  store(a.scales + (block * a.groups + group) * kBlockRows, Packed::scale(extreme));

  const F32 inverse = Packed::inverse(extreme);
  const int64_t lines_per_block = ceil_div(source.cols, per_line);
  uint8_t* lines = a.lines + block * lines_per_block * 64;
  for (int64_t k = begin; k < end; k += kChunk) {
    const int64_t stop = k + kChunk < end ? k + kChunk : end;
    read_panel(source, block, k, stop, panel);
    for (int64_t i = stop - k; i % per_line != 0; ++i) store(panel + i * kLanes, zero());
    for (int64_t i = 0; i < stop - k; i += per_line)
      store_i32(lines + (k + i) / per_line * 64, encode_line(format, panel + i * kLanes, inverse));
  }
}

}  // namespace

void quantize(const QuantizeArgs& a) noexcept {
  visit(a.format, [&](auto tag) {
    if constexpr (tag.packed)
      for (int64_t block = a.block_begin; block < a.block_end; ++block)
        for (int64_t group = 0; group < a.groups; ++group)
          quantize_group<typename decltype(tag)::type>(a, block, group);
  });
}

}  // namespace lowbit::LOWBIT_ISA
