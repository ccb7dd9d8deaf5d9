#include "ops/packed_matrix.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <new>

#include "core/error.hpp"
#include "core/threads.hpp"
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

uint8_t nearest_dynamic(float value) {
  const float* map = dynamic_map();
  const int above = static_cast<int>(std::lower_bound(map, map + 256, value) - map);
  if (above == 0) return 0;
  if (above == 256) return 255;
  const float middle = (map[above - 1] + map[above]) / 2;
  return static_cast<uint8_t>(value > middle ? above : above - 1);
}

void check_finite(MatrixView<const float> w) {
  for (int64_t r = 0; r < w.rows; ++r) {
    const float* row = w.row(r);
    float sum = 0;  // x * 0 is NaN for both NaN and infinity
    for (int64_t c = 0; c < w.cols; ++c) sum += row[c] * 0.0f;
    if (sum == 0.0f) continue;
    for (int64_t c = 0; c < w.cols; ++c)
      check(std::isfinite(row[c]), "quantize: w[", r, ", ", c, "] is ", row[c],
            "; only finite values can be quantized");
  }
}

// The scales of one matrix, rounded to 8 bits around their mean.
void quantize_scales(PackedMatrix& m) {
  const int64_t count = m.rows * m.groups;
  const auto at = [&](int64_t flat) -> int64_t {
    const int64_t row = flat / m.groups, group = flat % m.groups;
    return ((row / kBlockRows) * m.groups + group) * kBlockRows + row % kBlockRows;
  };
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += m.scales[at(i)];
  m.scale_offset = count ? static_cast<float>(total / static_cast<double>(count)) : 0.0f;
  m.scale_scales.assign(ceil_div(count, kScaleBlock), 0.0f);
  m.scale_codes.assign(m.scales.size(), 0);
  for (int64_t begin = 0; begin < count; begin += kScaleBlock) {
    const int64_t end = std::min(begin + kScaleBlock, count);
    float extreme = 0;
    for (int64_t i = begin; i < end; ++i)
      extreme = std::max(extreme, std::fabs(m.scales[at(i)] - m.scale_offset));
    m.scale_scales[begin / kScaleBlock] = extreme;
    const float inverse = 1.0f / std::max(extreme, 1e-38f);
    for (int64_t i = begin; i < end; ++i)
      m.scale_codes[at(i)] = nearest_dynamic((m.scales[at(i)] - m.scale_offset) * inverse);
  }
  m.scales = {};
}

}  // namespace

AlignedBytes::AlignedBytes(int64_t count)
    : memory(static_cast<uint8_t*>(
          ::operator new[](static_cast<size_t>(count), std::align_val_t{64}))),
      size(count) {}

void AlignedBytes::Free::operator()(uint8_t* p) const {
  ::operator delete[](p, std::align_val_t{64});
}

const float* dynamic_map() {
  static const std::array<float, 256> map = make_dynamic_map();
  return map.data();
}

WeightView PackedMatrix::view() const {
  WeightView w;
  w.format = format;
  w.rows = rows, w.cols = cols;
  w.data = lines.data();
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
  return lines.size + 4 * floats + static_cast<int64_t>(scale_codes.size()) +
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
  const int64_t lines = m.blocks() * ceil_div(cols, info.columns_per_line);
  m.lines = AlignedBytes(lines * 64);
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
  const int64_t grain = std::max<int64_t>(1, 65536 / (kBlockRows * std::max<int64_t>(1, w.cols)));
  parallel_for(m.blocks(), grain, [&](int64_t begin, int64_t end) {
    const int64_t row0 = begin * kBlockRows;
    check_finite({w.row(row0), std::min(end * kBlockRows, w.rows) - row0, w.cols, w.stride});
    kernels().quantize({w, m.format, m.group_size, m.groups, m.lines.data(), m.scales.data(),
                        begin, end});
  });
  if (double_quant) quantize_scales(m);
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
