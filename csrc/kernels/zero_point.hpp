// What sums over rows of bytes have too much because their zero is no byte 0: the zero point times
// the sums of the weights.
#pragma once

#include "formats/scales.hpp"
#include "kernels/args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

// sum += the products of all columns of one line with the same four bytes.
template <class Packed, class Sum, int first = 0>
[[gnu::always_inline]] inline Sum add_same(const Packed& format, I32 line, I32 bytes, Sum sum) {
  sum = add_products(sum, format.template integers<first>(line), bytes);
  if constexpr (first + 4 < Packed::kColumnsPerLine)
    return add_same<Packed, Sum, first + 4>(format, line, bytes, sum);
  else
    return sum;
}

// The same for `count` lines, a multiple of `chains`: sums that need not wait for each other.
template <int chains, class Packed>
[[gnu::always_inline]] inline I32 add_same_lines(const Packed& format, const uint8_t* line,
                                                 int64_t count, I32 bytes) {
  using Weights = decltype(format.template integers<0>(I32()));
  Sum<Weights> part[chains];
  for (auto& p : part) p = no_sum<Weights>();
  for (const uint8_t* end = line + count * 64; line < end; line += chains * 64)
#pragma GCC unroll 4
    for (int c = 0; c < chains; ++c)
      part[c] = add_same(format, load_i32(line + c * 64), bytes, part[c]);
  I32 total = widen(part[0]);
  for (int c = 1; c < chains; ++c) total = total + widen(part[c]);
  return total;
}

// -zero_point times the sum of `lines` lines of weights, row by row.
template <class Packed>
I32 zero_point_start(const Packed& format, const uint8_t* line, int64_t lines,
                     int32_t zero_point) {
  using Weights = decltype(format.template integers<0>(I32()));
  constexpr int64_t kColumns = Packed::kColumnsPerLine;
  constexpr int64_t kMost = kSteps<Weights> * 4 / kColumns;  // lines that a sum has room for
  constexpr int kChains = 4;
  const I32 bytes = set1i((-zero_point & 0xff) * 0x01010101);
  I32 total = set1i(kExcess<Weights> * zero_point * static_cast<int32_t>(lines * kColumns));
  while (lines > 0) {
    const bool many = lines >= kChains;
    int64_t count = many ? lines / kChains * kChains : lines;
    count = count < kMost * (many ? kChains : 1) ? count : kMost * (many ? kChains : 1);
    total = total + (many ? add_same_lines<kChains>(format, line, count, bytes)
                          : add_same_lines<1>(format, line, count, bytes));
    lines -= count, line += count * 64;
  }
  return total;
}

// What the sums of each piece of columns [begin, end) of a panel begin with besides
// Int8Rows::starts, to out[piece][16]. Columns beyond the last have weights of zero, whose code is
// the zero point of their group where the weight has zero points.
template <class Packed>
void read_zero_point_starts(const Packed& format, const WeightView& w, const Int8Rows& x,
                            int64_t panel, int64_t begin, int64_t end, int32_t* out) {
  constexpr int64_t kColumns = Packed::kColumnsPerLine;
  const uint8_t* lines = w.lines(panel, kColumns);
  for (int64_t k = begin; k < end; k += x.piece, out += kLanes) {
    const int64_t count = end - k < x.piece ? end - k : x.piece;
    I32 start = zero_point_start(format, lines + k / kColumns * 64, ceil_div(count, kColumns),
                                 x.zero_point);
    if (const int64_t beyond = round_up(count, kColumns) - count; beyond > 0 && w.zeros) {
      const F32 zeros = BlockScales(w, panel).zeros(k / w.group_size);
      start = start + to_int(zeros * set1(static_cast<float>(x.zero_point * beyond)));
    }
    store_i32(out, start);
  }
}

}  // namespace lowbit::LOWBIT_ISA
