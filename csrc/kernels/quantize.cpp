// Floats to the codes and scales of a packed format.
//
// A group of 16 rows is read as a panel, lanes = rows, so the extreme of each group is a vertical
// maximum and nothing is ever summed across lanes.
#include "formats/format.hpp"
#include "formats/panel.hpp"
#include "formats/scales.hpp"
#include "kernels/args.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// What rounding around zero needs to know of a group. A chain of sums has columns of its own, one
// behind the other, so that of values of equal size the first remains.
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

// What rounding around a zero point needs to know. The range has zero in it.
struct Range {
  F32 low = zero(), high = zero();
  F32 flaw = zero();

  void add(F32 x) {
    low = min(x, low);
    high = max(x, high);
    flaw = fma(x, zero(), flaw);
  }
  void add(const Range& later) {
    low = min(later.low, low);
    high = max(later.high, high);
    flaw = flaw + later.flaw;
  }
};

// How values become codes: by one factor around zero, or around a zero point.
struct Around {
  F32 inverse, least, most;
  I32 zeros;
};

template <class Packed>
I32 encode(const Packed& format, F32 x, F32 inverse) {
  return format.encode(x, inverse);
}
template <class Packed>
I32 encode(const Packed&, F32 x, const Around& to) {
  return to_int(min(max(x * to.inverse, to.least), to.most)) + to.zeros;
}

// Chooses a group's scales, unless they are there, and writes them at `at`.
template <class Packed>
F32 choose(const QuantizeArgs& a, const Packed& format, const Extremes& seen, int64_t at) {
  F32 scale = a.given ? load(a.scales + at) : format.scale(seen.value);
  // Double quantization comes later: codes are those of the scales before.
  const bool exact = !a.given && (a.scale_type == ScaleType::fp32 ||
                                  a.scale_type == ScaleType::dynamic8);
  if (!exact) scale = round_scales(a.scale_type, scale);
  store(a.scales + at, select_less(abs(seen.flaw), set1(1.0f), scale, seen.flaw));
  return exact ? format.inverse(seen.value) : format.inverse_of(scale);
}

// The same with zero points.
template <class Packed>
Around choose(const QuantizeArgs& a, const Packed&, const Range& seen, int64_t at) {
  const F32 least = set1(Packed::kLeast), most = set1(Packed::kMost);
  const F32 step = set1(1.0f / (Packed::kMost - Packed::kLeast));
  F32 scale = a.given ? load(a.scales + at) : seen.high * step - seen.low * step;
  scale = round_scales(a.scale_type, scale);
  store(a.scales + at, select_less(abs(seen.flaw), set1(1.0f), scale, seen.flaw));
  // Scales too small for a finite inverse count as zero.
  const F32 inverse = select_less(set1(1e-38f), abs(scale), set1(1.0f) / scale, zero());
  if (!a.given) store_i8(a.zeros + at, to_int(min(least - seen.low * inverse, most)));
  const I32 zeros = load_i8(a.zeros + at);
  return {inverse, least - to_float(zeros), most - to_float(zeros),
          zeros + set1i(Packed::kZeroCode)};
}

template <class Packed, class How, int column = 0>
[[gnu::always_inline]] inline I32 encode_line(const Packed& format, const float* panel, How how) {
  const I32 code =
      Packed::template place<column>(encode(format, load(panel + column * kLanes), how));
  if constexpr (column + 1 < Packed::kColumnsPerLine)
    return code | encode_line<Packed, How, column + 1>(format, panel, how);
  else
    return code;
}

constexpr int kChains = 4;

template <class Seen>
void add_panel(const float* panel, int64_t columns, Seen& all) {
  const int64_t part = columns / kChains;
  Seen chains[kChains];
  for (int64_t i = 0; i < part; ++i)
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) chains[c].add(load(panel + (c * part + i) * kLanes));
  for (const Seen& chain : chains) all.add(chain);
  for (int64_t i = kChains * part; i < columns; ++i) all.add(load(panel + i * kLanes));
}

// Columns that a panel holds to lines. What is beyond the last becomes zero. Not inlined, so that
// the loop has the registers.
template <class Packed, class How>
[[gnu::noinline]] void encode_panel(const Packed& format, float* panel, int64_t columns, How how,
                                    uint8_t* lines) {
  constexpr int per_line = Packed::kColumnsPerLine;
  for (int64_t i = columns; i % per_line != 0; ++i) store(panel + i * kLanes, zero());
  for (int64_t i = 0; i < columns; i += per_line)
    store_i32(lines + i / per_line * 64,
              format.recode(encode_line(format, panel + i * kLanes, how)));
}

// `Seen` is Extremes or Range.
template <class Packed, class Seen>
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

  Seen seen;
  for (int64_t k = begin; k < end; k += kQuantizeColumns) add_panel(panel, read(k), seen);
  const auto how = choose(a, format, seen, (block * a.groups + group) * kBlockRows);

  uint8_t* lines = a.lines + block * ceil_div(source.cols, per_line) * 64;
  const bool kept = end - begin <= kQuantizeColumns;  // the panel has all of them
  for (int64_t k = begin; k < end; k += kQuantizeColumns) {
    const int64_t columns = kept ? end - begin : read(k);
    encode_panel(format, panel, columns, how, lines + k / per_line * 64);
  }
}

template <class Packed, class Seen>
void quantize_blocks(const QuantizeArgs& a, const Packed& format) {
  for (int64_t block = a.block_begin; block < a.block_end; ++block)
    for (int64_t group = 0; group < a.groups; ++group)
      quantize_group<Packed, Seen>(a, format, block, group);
}

}  // namespace

void quantize(const QuantizeArgs& a) noexcept {
  visit(a.format, [&](auto tag) {
    if constexpr (tag.packed) {
      using Packed = typename decltype(tag)::type;
      if constexpr (Packed::kTakesZeros)
        if (a.zeros) return quantize_blocks<Packed, Range>(a, tag.format);
      quantize_blocks<Packed, Extremes>(a, tag.format);
    }
  });
}

}  // namespace lowbit::LOWBIT_ISA
