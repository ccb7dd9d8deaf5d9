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

// What rounding around zero needs to know of a group. Bits of floats without their sign have the
// order of the floats, with infinity and NaN above all.
template <bool has_sign>
struct Extreme {
  I32 top = set1i(0);

  void add(F32 x) { top = max_unsigned(bits(x) & set1i(0x7fffffff), top); }
  void add(const Extreme& other) { top = max_unsigned(other.top, top); }
  F32 extreme() const { return from_bits(top); }
  bool is_tied() const { return false; }
};

// The same where the sign counts: it is the last bit here, below the magnitude.
template <>
struct Extreme<true> {
  I32 top = set1i(0);
  F32 high = zero();

  void add(F32 x) {
    top = max_unsigned(rotate_left<1>(bits(x)), top);
    high = max(x, high);
  }
  void add(const Extreme& other) {
    top = max_unsigned(other.top, top);
    high = max(other.high, high);
  }
  // Adding zero leaves no negative zero, which would change the sign of the scale.
  F32 extreme() const { return from_bits(rotate_left<31>(top)) + zero(); }
  // Whether a row has its extreme with both signs: the first counts then, and here the negative.
  bool is_tied() const {
    const F32 value = extreme();
    const F32 both = select_less(high, abs(value), zero(), set1(1.0f));
    return reduce_max(select_less(value, zero(), both, zero())) != 0;
  }
};

// Of values of equal size the first remains, since a chain of sums has columns of its own, one
// behind the other.
struct FirstExtreme {
  F32 value = zero(), size = zero();

  void add(F32 x) {
    const F32 s = abs(x);
    value = select_less(size, s, x, value);
    size = max(s, size);
  }
  void add(const FirstExtreme& later) {
    value = select_less(size, later.size, later.value, value);
    size = max(later.size, size);
  }
};

// What rounding around a zero point needs to know. The range has zero in it.
struct Range {
  F32 low = zero(), high = zero();
  I32 top = set1i(0);  // since a maximum of floats may miss NaN

  void add(F32 x) {
    low = min(x, low);
    high = max(x, high);
    top = max_unsigned(bits(x) & set1i(0x7fffffff), top);
  }
  void add(const Range& other) {
    low = min(other.low, low);
    high = max(other.high, high);
    top = max_unsigned(other.top, top);
  }
  F32 extreme() const { return from_bits(top); }
};

// How values become codes: by one factor around zero, or around a zero point.
struct Around {
  F32 inverse, least, most;
  I32 zeros;
};

template <bool cut, class Packed>
I32 encode(const Packed& format, F32 x, F32 inverse) {
  return format.template encode<cut>(x, inverse);
}
template <bool cut, class Packed>
I32 encode(const Packed&, F32 x, const Around& to) {
  return to_int(min(max(x * to.inverse, to.least), to.most)) + to.zeros;
}

// Whether codes are those of the scales that the values themselves ask for. Double quantization
// comes later.
bool is_exact(const QuantizeArgs& a) {
  return !a.given &&
         (a.scale_type == ScaleType::fp32 || a.scale_type == ScaleType::dynamic8);
}

// Chooses a group's scales, unless they are there, and writes them at `at`.
template <class Packed>
F32 choose(const QuantizeArgs& a, const Packed& format, F32 extreme, int64_t at) {
  F32 scale = a.given ? load(a.scales + at) : format.scale(extreme);
  if (!is_exact(a)) scale = round_scales(a.scale_type, scale);
  store(a.scales + at, scale);
  return is_exact(a) ? format.inverse(extreme) : format.inverse_of(scale);
}

// The same with zero points.
template <class Packed>
Around choose(const QuantizeArgs& a, const Packed&, const Range& seen, int64_t at) {
  const F32 least = set1(Packed::kLeast), most = set1(Packed::kMost);
  const F32 step = set1(1.0f / (Packed::kMost - Packed::kLeast));
  F32 scale = a.given ? load(a.scales + at) : seen.high * step - seen.low * step;
  scale = round_scales(a.scale_type, scale);
  store(a.scales + at, scale);
  // Scales too small for a finite inverse count as zero.
  const F32 inverse = select_less(set1(1e-38f), abs(scale), set1(1.0f) / scale, zero());
  if (!a.given) store_i8(a.zeros + at, to_int(min(least - seen.low * inverse, most)));
  const I32 zeros = load_i8(a.zeros + at);
  return {inverse, least - to_float(zeros), most - to_float(zeros), zeros};
}

template <bool cut, class Packed, class How, int column = 0>
[[gnu::always_inline]] inline I32 encode_line(const Packed& format, const float* panel, How how,
                                              I32 line = set1i(0)) {
  line = Packed::template place<column>(
      line, encode<cut>(format, load(panel + column * kLanes), how));
  if constexpr (column + 1 < Packed::kColumnsPerLine)
    return encode_line<cut, Packed, How, column + 1>(format, panel, how, line);
  else
    return line;
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
template <bool cut, class Packed, class How>
[[gnu::noinline]] void encode_panel(const Packed& format, float* panel, int64_t columns, How how,
                                    uint8_t* lines) {
  constexpr int per_line = Packed::kColumnsPerLine;
  for (int64_t i = columns; i % per_line != 0; ++i) store(panel + i * kLanes, zero());
  for (int64_t i = 0; i < columns; i += per_line)
    store_i32(lines + i / per_line * 64,
              format.recode(encode_line<cut>(format, panel + i * kLanes, how)));
}

template <bool value>
struct Truth {
  constexpr operator bool() const { return value; }
};

// Whether any number was infinite or NaN: then a product with zero is not zero.
struct Flaws {
  F32 sum = zero();

  void add(F32 extreme, F32 scale) { sum = fma(extreme, zero(), fma(scale, zero(), sum)); }
  bool found() const { return !(reduce_add(sum) == 0); }
};

// One group of 16 rows: `look` gives what a type of those above knows of its values, `write` makes
// lines of them.
template <class Packed, class Look, class Write>
[[gnu::always_inline]] inline void quantize_group(const QuantizeArgs& a, const Packed& format,
                                                  int64_t at, Flaws& flaws, Look look,
                                                  Write write) {
  if constexpr (Packed::kTakesZeros)
    if (a.zeros) {
      const Range seen = look(Range{});
      const Around to = choose(a, format, seen, at);
      flaws.add(seen.extreme(), load(a.scales + at));
      write(Truth<true>{}, to);
      return;
    }
  const auto seen = look(Extreme<Packed::kSignedScale>{});
  const F32 extreme = seen.is_tied() ? look(FirstExtreme{}).value : seen.extreme();
  const F32 inverse = choose(a, format, extreme, at);
  flaws.add(seen.extreme(), load(a.scales + at));
  if (is_exact(a))
    write(Truth<false>{}, inverse);
  else
    write(Truth<true>{}, inverse);
}

struct Block {
  const QuantizeArgs& a;
  WeightView source;
  int64_t index;

  Block(const QuantizeArgs& args, int64_t block)
      : a(args),
        source(dense_weight(a.source.data, a.source.rows, a.source.cols, a.source.stride)),
        index(block) {}

  int64_t read(int64_t begin, int64_t end) const {
    read_panel(source, index, begin, end, a.scratch);
    return end - begin;
  }
  int64_t scales_of(int64_t group) const { return (index * a.groups + group) * kBlockRows; }
  template <class Packed>
  uint8_t* lines(int64_t column) const {
    constexpr int per_line = Packed::kColumnsPerLine;
    return a.lines + (index * ceil_div(source.cols, per_line) + column / per_line) * 64;
  }
};

// Columns that are read at a time where groups are smaller; their panel stays in the first-level
// cache.
constexpr int64_t kStretch = 128;

template <class Packed>
void quantize_narrow_groups(const Block& b, const Packed& format, Flaws& flaws) {
  const int64_t size = b.a.group_size, cols = b.source.cols;
  const int64_t step = size < kStretch ? kStretch / size * size : size;
  for (int64_t first = 0; first < cols; first += step) {
    const int64_t end = first + step < cols ? first + step : cols;
    b.read(first, end);
    for (int64_t begin = first; begin < end; begin += size) {
      float* panel = b.a.scratch + (begin - first) * kLanes;
      const int64_t columns = end - begin < size ? end - begin : size;
      quantize_group(
          b.a, format, b.scales_of(begin / size), flaws,
          [&](auto seen) {
            add_panel(panel, columns, seen);
            return seen;
          },
          [&](auto cut, auto how) {
            encode_panel<cut>(format, panel, columns, how, b.lines<Packed>(begin));
          });
    }
  }
}

// A group of more columns than a panel holds is read twice.
template <class Packed>
void quantize_wide_group(const Block& b, const Packed& format, int64_t group, Flaws& flaws) {
  const int64_t begin = group * b.a.group_size;
  const int64_t end =
      begin + b.a.group_size < b.source.cols ? begin + b.a.group_size : b.source.cols;
  const auto panels = [&](auto use) {
    for (int64_t k = begin; k < end; k += kQuantizeColumns)
      use(k, b.read(k, k + kQuantizeColumns < end ? k + kQuantizeColumns : end));
  };
  quantize_group(
      b.a, format, b.scales_of(group), flaws,
      [&](auto seen) {
        panels([&](int64_t, int64_t columns) { add_panel(b.a.scratch, columns, seen); });
        return seen;
      },
      [&](auto cut, auto how) {
        panels([&](int64_t k, int64_t columns) {
          encode_panel<cut>(format, b.a.scratch, columns, how, b.lines<Packed>(k));
        });
      });
}

}  // namespace

void quantize(const QuantizeArgs& a) noexcept {
  if (a.groups == 0) return;  // no columns
  visit(a.format, [&](auto tag) {
    if constexpr (tag.packed) {
      Flaws flaws;
      for (int64_t index = a.block_begin; index < a.block_end; ++index) {
        const Block block(a, index);
        if (a.group_size <= kQuantizeColumns)
          quantize_narrow_groups(block, tag.format, flaws);
        else
          for (int64_t i = 0; i < a.groups; ++i)
            quantize_wide_group(block, tag.format, i, flaws);
      }
      *a.flawed = flaws.found();
    }
  });
}

}  // namespace lowbit::LOWBIT_ISA
