#include "ops/packed_matrix.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/scales.hpp"
#include "ops/streaming.hpp"

namespace lowbit::ops {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;

// Room for numbers of every block of 16 rows. Those of the last block become zero, since it may
// have rows beyond the last that nobody writes.
template <class T>
void resize(KeptVector<T>& numbers, int64_t count, int64_t per_row) {
  numbers.resize(static_cast<size_t>(count));
  std::fill_n(numbers.rbegin(), std::min(count, per_row * kBlockRows), T{});
}

// Scales as floats and zero points, one for each row and group, while a matrix is rounded. They are
// where the matrix has them, if it has the like.
class Choice {
 public:
  explicit Choice(PackedMatrix& m) : matrix_(m) {
    const int64_t count = m.every_scale();
    if (m.scale_type != ScaleType::fp32 || m.per_tensor) resize(scales_, count, m.groups);
    if (!m.symmetric && m.per_tensor) resize(zeros_, count, m.groups);
  }
  float* scales() {
    return scales_.empty() ? reinterpret_cast<float*>(matrix_.scales.data()) : scales_.data();
  }
  int8_t* zeros() {  // null where there are none
    return zeros_.empty() ? matrix_.zeros.data() : zeros_.data();
  }
  void set(float scale, int8_t zero) {
    std::fill(scales_.begin(), scales_.end(), scale);
    std::fill(zeros_.begin(), zeros_.end(), zero);
  }
  void store() {
    store_scales(matrix_, scales());
    if (!zeros_.empty()) std::copy_n(zeros_.data(), matrix_.zeros.size(), matrix_.zeros.data());
  }

 private:
  PackedMatrix& matrix_;
  KeptVector<float> scales_;
  KeptVector<int8_t> zeros_;
};

// Names the first of some rows' values that is not finite; else the first scale that its type
// cannot hold.
void explain_flaw(MatrixView<const float> w, const PackedMatrix& m, const float* scales,
                  int64_t row_begin, int64_t row_end) {
  for (int64_t r = row_begin; r < row_end; ++r)
    for (int64_t c = 0; c < w.cols; ++c)
      check(std::isfinite(w.row(r)[c]), "quantize: w[", r, ", ", c, "] is ", w.row(r)[c],
            "; only finite values can be quantized");
  for_scales(m, row_begin * m.groups, row_end * m.groups,
             [&, i = row_begin * m.groups](int64_t at) mutable {
               check(std::isfinite(scales[at]), "quantize: the scale of row ", i / m.groups,
                     ", group ", i % m.groups, " is beyond ", scale_type_name(m.scale_type),
                     "; use scale_dtype=\"bf16\" or \"fp32\"");
               ++i;
             });
}

// Codes; scales and zero points, too, unless they are given.
void encode(PackedMatrix& m, MatrixView<const float> w, Choice& choice, bool given) {
  const int64_t grain = std::max<int64_t>(1, 65536 / (kBlockRows * std::max<int64_t>(1, w.cols)));
  float* scales = choice.scales();
  int8_t* zeros = choice.zeros();
  parallel_for(m.blocks(), grain, [&](int64_t begin, int64_t end) {
    bool flawed = false;
    kernels().quantize({w, m.format, m.group_size, m.groups, m.scale_type, m.lines.get(), scales,
                        zeros, given, begin, end, scratch<float>(kQuantizeScratch), &flawed});
    if (flawed) explain_flaw(w, m, scales, begin * kBlockRows, std::min(end * kBlockRows, w.rows));
  });
}

void raise(std::atomic<int32_t>& most, int32_t value) {
  int32_t seen = most;
  while (seen < value && !most.compare_exchange_weak(seen, value)) {
  }
}

// The least value below zero and the largest above, or zero. Bits of positive floats are in their
// order as integers, of which the compiler compares several at a time; so are those of negative
// ones without the sign.
std::array<float, 2> ends_of(MatrixView<const float> w) {
  constexpr int32_t kSign = std::numeric_limits<int32_t>::min();
  std::atomic<int32_t> low{0}, high{0};
  parallel_for(w.rows, row_grain(w.cols), [&](int64_t begin, int64_t end) {
    int32_t negative = 0, positive = 0;
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < w.cols; ++c) {
        const int32_t bits = std::bit_cast<int32_t>(w.row(r)[c]);
        negative = std::max(negative, bits ^ kSign);
        positive = std::max(positive, bits);
      }
    raise(low, negative);
    raise(high, positive);
  });
  return {-std::bit_cast<float>(low.load()), std::bit_cast<float>(high.load())};
}

// The scale of a whole tensor: the largest of its rows'. With a zero point, both are those of a row
// that has the two extremes. Codes are not final.
void choose_for_all(PackedMatrix& m, MatrixView<const float> w, Storage storage, Choice& choice) {
  if (m.every_scale() == 0) return;
  if (m.symmetric) {
    encode(m, w, choice, false);
    const float* scales = choice.scales();
    float largest = scales[0];
    for (int64_t row = 1; row < m.rows; ++row)
      if (std::fabs(scales[row]) > std::fabs(largest)) largest = scales[row];
    choice.set(largest, 0);
    return;
  }
  std::array<float, 2> ends = ends_of(w);
  if (!std::isfinite(ends[0]) || !std::isfinite(ends[1])) ends[0] = -1, ends[1] = 1;  // not used
  storage.group_size = 0;
  const PackedMatrix row = quantize(MatrixView<const float>(ends.data(), 1, 2), storage);
  choice.set(read_scales(row)[0], row.zeros[0]);
}

void check_storage(const char* function, const Storage& storage, const FormatInfo& info,
                   ScaleType type) {
  check(info.packed, function, ": format=\"", info.name,
        "\" is dense and needs no packing; use one of ", packed_names());
  const int64_t group_size = storage.group_size;
  const bool power = group_size >= 16 && (group_size & (group_size - 1)) == 0;
  check(group_size == 0 || group_size == kWholeTensor || power, function, ": group_size=",
        group_size, " is not a power of two from 16; use 32, 64 or 128, None for one scale a row"
        " or \"tensor\" for one alone");
  check(storage.symmetric || info.zero_points, function, ": format=\"", info.name,
        "\" has no zero points; use \"int8\" or \"int4\", or symmetric=True");
  if (!storage.double_quant) return;
  check(storage.scale_dtype.empty() || bytes_of(type) == 1, function,
        ": double_quant=True stores scales in 8 bits; leave scale_dtype=\"", storage.scale_dtype,
        "\" out");
  check(group_size != kWholeTensor, function,
        ": double_quant=True does not go with one scale for the whole tensor");
}

}  // namespace

WeightView PackedMatrix::view() const {
  WeightView w;
  w.format = format;
  w.rows = rows, w.cols = cols;
  w.data = lines.get();
  w.group_size = group_size, w.groups = groups;
  w.scale_type = scale_type;
  w.scales = scales.data();
  w.scale_stride = per_tensor ? 0 : groups * kBlockRows;
  if (double_quant()) {
    w.scale_levels = dynamic_map();
    w.scale_scales = scale_scales.data();
    w.scale_offset = scale_offset;
  }
  if (!zeros.empty()) w.zeros = zeros.data();
  return w;
}

int64_t PackedMatrix::nbytes() const {
  return line_bytes + std::ssize(scales) + 4 * std::ssize(scale_scales) +
         (double_quant() ? 4 : 0) + std::ssize(zeros);
}

PackedMatrix allocate(const char* function, const Storage& storage, int64_t rows, int64_t cols) {
  const FormatInfo& info = format_named(function, storage.format);
  const ScaleType type = scale_type_named(function, storage.scale_dtype, info.format);
  check_storage(function, storage, info, type);
  check(rows >= 0 && cols >= 0 && rows <= kMaxElements / std::max<int64_t>(1, cols), function,
        ": shape (", rows, ", ", cols, ") is negative or too large; at most ", kMaxElements,
        " elements are stored");
  PackedMatrix m;
  m.format = info.format;
  m.rows = rows, m.cols = cols;
  m.per_tensor = storage.group_size == kWholeTensor;
  m.group_size = storage.group_size <= 0 || storage.group_size > cols ? cols : storage.group_size;
  m.groups = cols == 0 ? 0 : ceil_div(cols, m.group_size);
  m.line_bytes = m.blocks() * ceil_div(cols, info.columns_per_line) * 64;
  m.lines = take<uint8_t>(m.line_bytes);
  // Scales of 8 bits stay what they are.
  m.scale_type = storage.double_quant && type != ScaleType::e8m0 ? ScaleType::dynamic8 : type;
  const int64_t bytes = bytes_of(m.scale_type);
  resize(m.scales, m.scale_count() * bytes, m.groups * bytes);
  if (m.double_quant()) m.scale_scales.assign(ceil_div(rows * m.groups, kScaleBlock), 0.0f);
  m.symmetric = storage.symmetric;
  if (!storage.symmetric) resize(m.zeros, m.scale_count(), m.groups);
  return m;
}

PackedMatrix quantize(MatrixView<const float> w, const Storage& storage) {
  PackedMatrix m = allocate("quantize", storage, w.rows, w.cols);
  Trace trace("quantize", storage.format, w.rows, "x", w.cols, "group", m.group_size);
  Choice choice(m);
  if (m.per_tensor) choose_for_all(m, w, storage, choice);
  encode(m, w, choice, m.per_tensor);
  choice.store();
  return m;
}

PackedMatrix quantize_to(MatrixView<const float> w, MatrixView<const float> scales,
                         MatrixView<const int32_t> zeros, const Storage& storage) {
  PackedMatrix m = allocate("quantize_to", storage, w.rows, w.cols);
  Trace trace("quantize_to", storage.format, w.rows, "x", w.cols, "group", m.group_size);
  check(!m.per_tensor, "quantize_to: group_size=\"tensor\" has a scale that quantize chooses");
  check_shape("quantize_to", "scales", scales, m.rows, m.groups);
  if (!m.symmetric) check_shape("quantize_to", "zero_points", zeros, m.rows, m.groups);
  Choice choice(m);
  const FormatInfo& info = format_info(m.format);
  for_scales(m, 0, m.rows * m.groups, [&, i = int64_t{0}](int64_t at) mutable {
    const int64_t row = i / m.groups, group = i++ % m.groups;
    const float scale = scales.row(row)[group];
    check(std::isfinite(scale), "quantize_to: scales[", row, ", ", group, "] is ", scale,
          "; only finite scales can be used");
    choice.scales()[at] = scale;
    if (m.symmetric) return;
    const int32_t zero = zeros.row(row)[group];
    check(info.least_code <= zero && zero <= info.most_code, "quantize_to: zero_points[", row,
          ", ", group, "] is ", zero, "; \"", info.name, "\" has ", info.least_code, "..",
          info.most_code);
    choice.zeros()[at] = static_cast<int8_t>(zero - info.zero_code);
  });
  if (m.double_quant()) {
    choice.store();
    const std::vector<float> stored = read_scales(m);
    std::copy(stored.begin(), stored.end(), choice.scales());
    encode(m, w, choice, true);
    return m;
  }
  encode(m, w, choice, true);
  choice.store();
  return m;
}

void dequantize(const WeightView& w, MatrixView<float> out) {
  check(out.rows == w.rows && out.cols == w.cols, "dequantize: out is (", out.rows, ", ", out.cols,
        "), the matrix is (", w.rows, ", ", w.cols, ")");
  Trace trace("dequantize", format_info(w.format).name, w.rows, "x", w.cols);
  const int64_t grain = std::max<int64_t>(1, 65536 / (kBlockRows * std::max<int64_t>(1, w.cols)));
  const bool stream = is_streamed(out);
  parallel_for(ceil_div(w.rows, kBlockRows), grain, [&](int64_t begin, int64_t end) {
    kernels().dequantize({w, out, begin, end, stream});
  });
}

}  // namespace lowbit::ops
