#include "ops/packed_matrix.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;

std::array<float, 256> make_dynamic_map() {
  // Seven exponents; exponent e has 2^e linear fractions in (0.1, 1), scaled by 10^(e - 6). Edges
  // are counted from the nearer end and rounded once, which makes every level bitsandbytes' own.
  std::array<float, 256> map{};
  size_t next = 0;
  for (int e = 0; e < 7; ++e) {
    const int parts = 1 << e;
    const double low = 0.1f, step = (1.0f - 0.1f) / static_cast<float>(parts);
    const auto edge = [&](int i) {
      return static_cast<float>(i < (parts + 1) / 2 ? low + step * i : 1.0 - step * (parts - i));
    };
    for (int i = 0; i < parts; ++i) {
      const float middle = (edge(i) + edge(i + 1)) / 2;
      const float value = middle * static_cast<float>(std::pow(10.0, e - 6));
      map[next++] = value;
      map[next++] = -value;
    }
  }
  map[next++] = 0.0f;
  map[next++] = 1.0f;
  std::sort(map.begin(), map.end());
  return map;
}

// The number of levels below `value`, by halving without a branch that could be foreseen wrongly,
// then the nearer of the two levels around it.
uint8_t nearest_dynamic(const float* map, float value) {
  int below = 0;
  for (int step = 128; step > 0; step /= 2) below += map[below + step - 1] < value ? step : 0;
  if (below == 0) return 0;
  const float middle = (map[below - 1] + map[below]) / 2;
  return static_cast<uint8_t>(value > middle ? below : below - 1);
}

// Names the first of some rows' values that is not finite, if their scales say that there is one.
void check_finite(MatrixView<const float> w, const PackedMatrix& m, int64_t row_begin,
                  int64_t row_end) {
  const float* scales = m.scales.data() + row_begin * m.groups;
  const float* end = m.scales.data() + round_up(row_end, kBlockRows) * m.groups;
  if (std::none_of(scales, end, [](float scale) { return std::isnan(scale); })) return;
  for (int64_t r = row_begin; r < row_end; ++r)
    for (int64_t c = 0; c < w.cols; ++c)
      check(std::isfinite(w.row(r)[c]), "quantize: w[", r, ", ", c, "] is ", w.row(r)[c],
            "; only finite values can be quantized");
}

// Calls use(place) for the places in m.scales of scales [begin, end) in row-major order.
template <class Use>
void for_scales(const PackedMatrix& m, int64_t begin, int64_t end, Use&& use) {
  if (begin == end) return;
  int64_t row = begin / m.groups, group = begin % m.groups;
  for (int64_t i = begin; i < end; ++i) {
    use(((row / kBlockRows) * m.groups + group) * kBlockRows + row % kBlockRows);
    if (++group == m.groups) group = 0, ++row;
  }
}

// The scales of one matrix, rounded to 8 bits around their mean.
void quantize_scales(PackedMatrix& m) {
  const int64_t count = m.rows * m.groups;
  const float* map = dynamic_map();
  double total = 0;
  for_scales(m, 0, count, [&](int64_t at) { total += m.scales[at]; });
  m.scale_offset = count ? static_cast<float>(total / static_cast<double>(count)) : 0.0f;
  m.scale_scales.assign(ceil_div(count, kScaleBlock), 0.0f);
  m.scale_codes.assign(m.scales.size(), 0);
  parallel_for(ceil_div(count, kScaleBlock), 16, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t begin = block * kScaleBlock, end = std::min(begin + kScaleBlock, count);
      float extreme = 0;
      for_scales(m, begin, end, [&](int64_t at) {
        extreme = std::max(extreme, std::fabs(m.scales[at] - m.scale_offset));
      });
      m.scale_scales[block] = extreme;
      const float inverse = 1.0f / std::max(extreme, 1e-38f);
      for_scales(m, begin, end, [&](int64_t at) {
        m.scale_codes[at] = nearest_dynamic(map, (m.scales[at] - m.scale_offset) * inverse);
      });
    }
  });
  m.scales = {};
}

// Doubly quantized scales as the kernels read them.
std::vector<float> read_scales(const PackedMatrix& m) {
  std::vector<float> scales(m.scale_codes.size(), 0.0f);
  for_scales(m, 0, m.rows * m.groups, [&, i = int64_t{0}](int64_t at) mutable {
    const float level = dynamic_map()[m.scale_codes[at]] * m.scale_scales[i++ / kScaleBlock];
    scales[at] = level + m.scale_offset;
  });
  return scales;
}

// Codes, and scales unless they are given.
void encode(PackedMatrix& m, MatrixView<const float> w, bool given) {
  const int64_t grain = std::max<int64_t>(1, 65536 / (kBlockRows * std::max<int64_t>(1, w.cols)));
  parallel_for(m.blocks(), grain, [&](int64_t begin, int64_t end) {
    kernels().quantize({w, m.format, m.group_size, m.groups, m.lines.get(), m.scales.data(), given,
                        begin, end, scratch<float>(kQuantizeScratch)});
    check_finite(w, m, begin * kBlockRows, std::min(end * kBlockRows, w.rows));
  });
}

}  // namespace

const float* dynamic_map() {
  static const std::array<float, 256> map = make_dynamic_map();
  return map.data();
}

WeightView PackedMatrix::view() const {
  WeightView w;
  w.format = format;
  w.rows = rows, w.cols = cols;
  w.data = lines.get();
  w.group_size = group_size, w.groups = groups;
  if (double_quant()) {
    w.scale_codes = scale_codes.data();
    w.scale_levels = dynamic_map();
    w.scale_scales = scale_scales.data();
    w.scale_offset = scale_offset;
  } else {
    w.scales = scales.data();
  }
  return w;
}

int64_t PackedMatrix::nbytes() const {
  const int64_t floats = static_cast<int64_t>(scales.size() + scale_scales.size());
  return line_bytes + 4 * floats + static_cast<int64_t>(scale_codes.size()) +
         (double_quant() ? 4 : 0);
}

PackedMatrix allocate(const char* function, const std::string& format, int64_t rows, int64_t cols,
                      int64_t group_size, bool double_quant) {
  const FormatInfo& info = format_named(function, format);
  check(info.packed, function, ": format=\"", format,
        "\" is dense and needs no packing; use \"int8\", \"int4\" or \"nf4\"");
  check(rows >= 0 && cols >= 0 && rows <= kMaxElements / std::max<int64_t>(1, cols), function,
        ": shape (", rows, ", ", cols, ") is negative or too large; at most ", kMaxElements,
        " elements are stored");
  const bool power = group_size >= 16 && (group_size & (group_size - 1)) == 0;
  check(group_size == 0 || power, function, ": group_size=", group_size,
        " is not a power of two from 16; use 32, 64 or 128, or None for one scale a row");
  PackedMatrix m;
  m.format = info.format;
  m.rows = rows, m.cols = cols;
  m.group_size = group_size == 0 || group_size > cols ? cols : group_size;
  m.groups = cols == 0 ? 0 : ceil_div(cols, m.group_size);
  m.line_bytes = m.blocks() * ceil_div(cols, info.columns_per_line) * 64;
  m.lines = take<uint8_t>(m.line_bytes);
  const size_t scales = static_cast<size_t>(m.blocks() * m.groups * kBlockRows);
  if (double_quant) {
    m.scale_codes.assign(scales, 0);
    m.scale_scales.assign(ceil_div(rows * m.groups, kScaleBlock), 0.0f);
  } else {
    m.scales.assign(scales, 0.0f);
  }
  return m;
}

PackedMatrix quantize(MatrixView<const float> w, const std::string& format, int64_t group_size,
                      bool double_quant) {
  PackedMatrix m = allocate("quantize", format, w.rows, w.cols, group_size, false);
  Trace trace("quantize", format, w.rows, "x", w.cols, "group", m.group_size);
  encode(m, w, false);
  if (double_quant) quantize_scales(m);
  return m;
}

PackedMatrix quantize_to(MatrixView<const float> w, MatrixView<const float> scales,
                         const std::string& format, int64_t group_size, bool double_quant) {
  PackedMatrix m = allocate("quantize_to", format, w.rows, w.cols, group_size, false);
  Trace trace("quantize_to", format, w.rows, "x", w.cols, "group", m.group_size);
  check_shape("quantize_to", "scales", scales, m.rows, m.groups);
  for_scales(m, 0, m.rows * m.groups, [&, i = int64_t{0}](int64_t at) mutable {
    const int64_t row = i / m.groups, group = i++ % m.groups;
    const float scale = scales.row(row)[group];
    check(std::isfinite(scale), "quantize_to: scales[", row, ", ", group, "] is ", scale,
          "; only finite scales can be used");
    m.scales[at] = scale;
  });
  if (double_quant) {
    quantize_scales(m);
    m.scales = read_scales(m);
  }
  encode(m, w, true);
  if (double_quant) m.scales = {};
  return m;
}

void dequantize(const WeightView& w, MatrixView<float> out) {
  check(out.rows == w.rows && out.cols == w.cols, "dequantize: out is (", out.rows, ", ", out.cols,
        "), the matrix is (", w.rows, ", ", w.cols, ")");
  Trace trace("dequantize", format_info(w.format).name, w.rows, "x", w.cols);
  const int64_t grain = std::max<int64_t>(1, 65536 / (kBlockRows * std::max<int64_t>(1, w.cols)));
  parallel_for(ceil_div(w.rows, kBlockRows), grain, [&](int64_t begin, int64_t end) {
    kernels().dequantize({w, out, begin, end});
  });
}

}  // namespace lowbit::ops
