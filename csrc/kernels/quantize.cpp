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

constexpr int kChains = 4;

// What rounding needs to know of a group. A chain of sums has columns of its own, one behind the
// other, so that of values of equal size the first remains.
struct Extremes {
  F32 value = zero(), size = zero();
  F32 flaw = zero();  // NaN where a value is infinite or NaN

  void add(F32 x) {
    const F32 s = abs(x);
    value = select_less(size, s, x, value);
    size = max(s, size);
    flaw = fma(x, zero(), flaw);
  }
  void add(const Extremes& later) {
    value = select_less(size, later.size, later.value, value);
    size = max(later.size, size);
    flaw = flaw + later.flaw;
  }
};

void add_panel(const float* panel, int64_t columns, Extremes& all) {
  const int64_t part = columns / kChains;
  Extremes chains[kChains];
  for (int64_t i = 0; i < part; ++i)
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) chains[c].add(load(panel + (c * part + i) * kLanes));
  for (const Extremes& chain : chains) all.add(chain);
  for (int64_t i = kChains * part; i < columns; ++i) all.add(load(panel + i * kLanes));
}

// Columns that a panel holds to lines. What is beyond the last becomes zero.
template <class Packed>
void encode_panel(const Packed& format, float* panel, int64_t columns, F32 inverse,
                  uint8_t* lines) {
  constexpr int per_line = Packed::kColumnsPerLine;
  for (int64_t i = columns; i % per_line != 0; ++i) store(panel + i * kLanes, zero());
  for (int64_t i = 0; i < columns; i += per_line)
    store_i32(lines + i / per_line * 64, encode_line(format, panel + i * kLanes, inverse));
}

template <class Packed>
void quantize_group(const QuantizeArgs& a, const Packed& format, int64_t block, int64_t group) {
  constexpr int per_line = Packed::kColumnsPerLine;
  const WeightView source =
      dense_weight(a.source.data, a.source.rows, a.source.cols, a.source.stride);
  const int64_t begin = group * a.group_size;
  const int64_t end = begin + a.group_size < source.cols ? begin + a.group_size : source.cols;
  float* panel = a.scratch;
  const auto read = [&](int64_t k) {
    const int64_t stop = k + kQuantizeColumns < end ? k + kQuantizeColumns : end;
    read_panel(source, block, k, stop, panel);
    return stop - k;
  };

  Extremes extremes;
  for (int64_t k = begin; k < end; k += kQuantizeColumns) add_panel(panel, read(k), extremes);
  float* const at = a.scales + (block * a.groups + group) * kBlockRows;
  const F32 scale = a.given ? load(at) : Packed::scale(extremes.value);
  const F32 inverse = a.given ? Packed::inverse_of(scale) : Packed::inverse(extremes.value);
  store(at, select_less(abs(extremes.flaw), set1(1.0f), scale, extremes.flaw));

  uint8_t* lines = a.lines + block * ceil_div(source.cols, per_line) * 64;
  if (end - begin <= kQuantizeColumns) {
    encode_panel(format, panel, end - begin, inverse, lines + begin / per_line * 64);
    return;
  }
  for (int64_t k = begin; k < end; k += kQuantizeColumns) {
    const int64_t columns = read(k);
    encode_panel(format, panel, columns, inverse, lines + k / per_line * 64);
  }
}

}  // namespace

void quantize(const QuantizeArgs& a) noexcept {
  visit(a.format, [&](auto tag) {
    if constexpr (tag.packed) {
      const typename decltype(tag)::type format;
      for (int64_t block = a.block_begin; block < a.block_end; ++block)
        for (int64_t group = 0; group < a.groups; ++group) quantize_group(a, format, block, group);
    }
  });
}

}  // namespace lowbit::LOWBIT_ISA
