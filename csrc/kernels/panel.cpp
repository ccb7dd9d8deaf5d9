// Decoding of panels, once per instruction set for all kernels that read weights.
#include "formats/panel.hpp"

#include "formats/dense.hpp"
#include "formats/format.hpp"
#include "formats/scales.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

template <class Packed, bool zeros, int first = 0>
inline void decode_line(const Packed& format, I32 line, F32 zero_point, F32 scale, float* out) {
  F32 weights[4];
  format.template decode<first>(line, weights);
  for (int c = 0; c < 4; ++c) {
    if constexpr (zeros) weights[c] = weights[c] - zero_point;
    store(out + (first + c) * kLanes, weights[c] * scale);
  }
  if constexpr (first + 4 < Packed::kColumnsPerLine)
    decode_line<Packed, zeros, first + 4>(format, line, zero_point, scale, out);
}

// Columns [begin, end) of one block of 16 rows: out[k - begin][16]. `begin` is a multiple of 16;
// whole lines are written, so `out` has room for end rounded up to a multiple of 8.
template <class Packed, bool zeros>
inline void read_lines(const Packed& format, const WeightView& w, int64_t block, int64_t begin,
                       int64_t end, float* out) {
  constexpr int per_line = Packed::kColumnsPerLine;
  const BlockScales scales(w, block);
  const uint8_t* lines = w.lines(block, per_line);
  for (int64_t k = begin; k < end;) {
    const int64_t group = k / w.group_size;
    const int64_t group_end = (group + 1) * w.group_size;
    const F32 scale = scales[group];
    const F32 zero_point = zeros ? scales.zeros(group) : zero();
    for (const int64_t stop = end < group_end ? end : group_end; k < stop; k += per_line)
      decode_line<Packed, zeros>(format, load_i32(lines + k / per_line * 64), zero_point, scale,
                                 out + (k - begin) * kLanes);
  }
}

template <class Packed>
inline void read_packed(const Packed& format, const WeightView& w, int64_t block, int64_t begin,
                        int64_t end, float* out) {
  if constexpr (Packed::kTakesZeros)
    if (w.zeros) return read_lines<Packed, true>(format, w, block, begin, end, out);
  read_lines<Packed, false>(format, w, block, begin, end, out);
}

// 16 columns of up to 16 rows, or fewer at the edges; lanes beyond the last row become zero.
template <class Dense>
void read_corner(const typename Dense::Element* data, int64_t stride, int64_t rows, int columns,
                 float* out) {
  float tile[kLanes * kLanes], turned[kLanes * kLanes];
  for (int64_t r = 0; r < kLanes; ++r)
    store(tile + r * kLanes, r < rows ? load_some<Dense>(data + r * stride, columns) : zero());
  transpose16(tile, kLanes, turned, kLanes);
  for (int c = 0; c < columns; ++c) store(out + c * kLanes, load(turned + c * kLanes));
}

// Some columns of 16 rows, eight rows at a time: where rows are a power of two apart, their lines
// share one place of the first-level cache, which has room for eight. Lines are asked for three
// stretches ahead, since each row is in pages of its own.
inline void read_halves(const float* data, int64_t stride, int64_t columns, float* out) {
  constexpr int64_t kStretch = 128, kAhead = 3 * kStretch;
  for (int64_t first = 0; first < columns; first += kStretch) {
    const int64_t end = first + kStretch < columns ? first + kStretch : columns;
    for (int half = 0; half < kLanes; half += 8)
      for (int64_t k = first; k < end; k += kLanes) {
        const float* rows = data + half * stride + k;
        for (int r = 0; r < 8; ++r) __builtin_prefetch(rows + r * stride + kAhead, 0, 2);
        transpose8x16(rows, stride, out + k * kLanes + half, kLanes);
      }
  }
}

template <class Dense>
inline void read_dense(const WeightView& w, int64_t panel, int64_t begin, int64_t end,
                       float* out) {
  const int64_t row0 = panel * kLanes;
  const auto* data = static_cast<const typename Dense::Element*>(w.data) + row0 * w.stride;
  const int64_t rows = w.rows - row0 < kLanes ? w.rows - row0 : kLanes;
  if constexpr (sizeof(*data) == sizeof(float))
    if (rows == kLanes) {
      const int64_t whole = (end - begin) / kLanes * kLanes;
      read_halves(data + begin, w.stride, whole, out);
      begin += whole, out += whole * kLanes;
    }
  for (int64_t k = begin; k < end; k += kLanes, out += kLanes * kLanes) {
    const int columns = static_cast<int>(end - k < kLanes ? end - k : kLanes);
    read_corner<Dense>(data + k, w.stride, rows, columns, out);
  }
}

}  // namespace

void read_panel(const WeightView& w, int64_t panel, int64_t begin, int64_t end, float* out) {
  visit(w.format, [&](auto tag) {
    using Type = typename decltype(tag)::type;
    if constexpr (tag.packed)
      read_packed(tag.format, w, panel, begin, end, out);
    else
      read_dense<Type>(w, panel, begin, end, out);
  });
}

namespace {

template <class Packed>
inline void read_packed_transposed(const Packed& format, const WeightView& w, int64_t panel,
                                   int64_t begin, int64_t end, float* out) {
  float tile[kLanes * kLanes];
  const int64_t column = panel * kLanes;
  const int64_t columns = w.cols - column < kLanes ? w.cols - column : kLanes;
  for (int r = 0; r < kLanes * kLanes; r += kLanes) store(tile + r, zero());
  for (int64_t n = begin; n < end; n += kBlockRows) {
    read_packed(format, w, n / kBlockRows, column, column + columns, tile);
    transpose16(tile, kLanes, out + (n - begin) * kLanes, kLanes);
  }
}

template <class Dense>
inline void read_dense_transposed(const WeightView& w, int64_t panel, int64_t begin, int64_t end,
                                  float* out) {
  const auto* data = static_cast<const typename Dense::Element*>(w.data) + panel * kLanes;
  const int64_t columns = w.cols - panel * kLanes;
  for (int64_t n = begin; n < end; ++n) {
    const auto* row = data + n * w.stride;
    float* to = out + (n - begin) * kLanes;
    store(to, load_some<Dense>(row, columns < kLanes ? static_cast<int>(columns) : kLanes));
  }
}

}  // namespace

void read_panel_transposed(const WeightView& w, int64_t panel, int64_t begin, int64_t end,
                           float* out) {
  visit(w.format, [&](auto tag) {
    using Type = typename decltype(tag)::type;
    if constexpr (tag.packed)
      read_packed_transposed(tag.format, w, panel, begin, end, out);
    else
      read_dense_transposed<Type>(w, panel, begin, end, out);
  });
}

}  // namespace lowbit::LOWBIT_ISA
