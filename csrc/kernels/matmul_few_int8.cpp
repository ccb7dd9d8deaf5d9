// A few rows of x in 8-bit integers times packed codes that are never made floats: four products
// for each lane of one instruction. The low-rank part, bias and residual stay in float32.
//
// Each row of x is rounded block by block, with a scale of its own for every block: the columns of
// a weight's group, or 64 of them. The sum of a block is an exact integer (at most 64 * 127 * 127),
// so the same bits come out on every instruction set.
#include <cstring>

#include "formats/format.hpp"
#include "formats/scales.hpp"
#include "kernels/few.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr float kLargest = 127.0f;
// Blocks of smaller values count as zero; their inverse would not be finite.
constexpr float kTiny = 1e-30f;

void pack_block(const float* x, int64_t count, int8_t* codes, float* scale) {
  const auto load_at = [&](int64_t k) {
    const int64_t left = count - k;
    return left >= kLanes ? load(x + k) : load_first(x + k, static_cast<int>(left));
  };
  F32 most = zero(), nothing = zero();  // nothing: NaN when a value is infinite or NaN
  for (int64_t k = 0; k < count; k += kLanes) {
    most = max(abs(load_at(k)), most);
    nothing = fma(load_at(k), zero(), nothing);
  }
  const F32 largest = set1(reduce_max(most));
  const F32 inverse = select_less(set1(kTiny), largest, set1(kLargest) / largest, zero());
  for (int64_t k = 0; k < count; k += kLanes) {
    int32_t words[kLanes];
    store_i32(words, to_int(load_at(k) * inverse));
    for (int i = 0; i < kLanes; ++i) codes[k + i] = static_cast<int8_t>(words[i]);
  }
  const F32 bad = set1(reduce_add(nothing));
  store_first(scale, largest * set1(1.0f / kLargest) + bad, 1);
}

// The columns of one line, four at a time, for all rows.
template <class Packed, int rows, int first = 0>
[[gnu::always_inline]] inline void add_line(const Packed& format, I32 line, const int8_t* x,
                                            int64_t stride, I32 (&total)[rows]) {
  const I32 weights = format.template integers<first>(line);
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    int32_t four;
    std::memcpy(&four, x + r * stride + first, sizeof four);
    total[r] = add_quad_products(total[r], weights, set1i(four));
  }
  if constexpr (first + 4 < Packed::kColumnsPerLine)
    add_line<Packed, rows, first + 4>(format, line, x, stride, total);
}

template <class Packed, int rows>
void add_weights(const WeightView& w, int64_t panel, const Int8Rows& x, int64_t row,
                 Sums<rows>& sums) {
  constexpr int64_t kLine = Packed::kColumnsPerLine;
  const Packed format;
  const uint8_t* line = w.lines(panel, kLine);
  F32 scale = zero();
  for (int64_t block = 0, k = 0, group = 0; block < x.blocks; ++block) {
    if (k == group * w.group_size)
      scale = load_scales(w, panel, group++) * set1(Packed::kIntegerUnit);
    const int64_t left = w.cols - k, stop = k + (left < x.block ? left : x.block);
    I32 total[rows];
    for (I32& t : total) t = set1i(0);
    for (; k < stop; k += kLine, line += 64) {
      __builtin_prefetch(line + kAhead);
      add_line<Packed, rows>(format, load_i32(line), x.codes + row * x.stride + k, x.stride, total);
    }
    const float* x_scale = x.scales + row * x.blocks + block;
    for (int r = 0; r < rows; ++r)
      sums.of[r] = fma(to_float(total[r]), scale * set1(x_scale[r * x.blocks]), sums.of[r]);
  }
}

// All rows of one panel, most at a time.
template <class Packed, int rows>
void multiply_rows(const MatmulArgs& a, int64_t row, int64_t panel) {
  for (; a.row_end - row >= rows; row += rows) {
    Sums<rows> sums = start_sums<rows>(a, row, panel);
    add_weights<Packed, rows>(a.first.weight, panel, a.first.int8, row, sums);
    finish_sums(a, row, panel, sums);
  }
  if constexpr (rows > 1)
    if (row < a.row_end) multiply_rows<Packed, rows - 1>(a, row, panel);
}

}  // namespace

void pack_int8(const PackInt8Args& a) noexcept {
  for (int64_t row = a.row_begin; row < a.row_end; ++row)
    for (int64_t i = 0; i < a.blocks; ++i) {
      const int64_t k = i * a.block, left = a.x.cols - k;
      pack_block(a.x.row(row) + k, left < a.block ? left : a.block, a.codes + row * a.stride + k,
                 a.scales + row * a.blocks + i);
    }
}

void matmul_few_int8(const MatmulArgs& a) noexcept {
  visit(a.first.weight.format, [&](auto tag) {
    if constexpr (tag.packed)
      for (int64_t panel = a.panel_begin; panel < a.panel_end; ++panel)
        multiply_rows<typename decltype(tag)::type, kMostRows>(a, a.row_begin, panel);
  });
}

}  // namespace lowbit::LOWBIT_ISA
