#include "ops/positions.hpp"

#include <algorithm>
#include <array>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/formats.hpp"

namespace lowbit::ops {
namespace {

// Whether no element is reached in two ways: every stride is longer than all that is inside it.
bool elements_are_apart(const HeadsView& x) {
  std::array<std::array<int64_t, 2>, 3> axes{{{x.batch_stride, x.batches},
                                              {x.token_stride, x.tokens},
                                              {x.head_stride, x.heads}}};
  if (x.batches * x.tokens * x.heads == 0) return true;
  std::sort(axes.begin(), axes.end());
  int64_t inside = x.head_dim;
  for (const auto& [stride, count] : axes) {
    if (count <= 1) continue;
    if (stride < inside) return false;
    inside += stride * (count - 1);
  }
  return true;
}

void check_array(const HeadsView& x, const HeadsView& first, int64_t pairs) {
  check(x.batches == first.batches && x.tokens == first.tokens, "rotary: an array has ", x.batches,
        " x ", x.tokens, " tokens, the first ", first.batches, " x ", first.tokens);
  check(2 * pairs <= x.head_dim, "rotary: heads have ", x.head_dim, " columns, the positions turn ",
        2 * pairs);
  check(elements_are_apart(x),
        "rotary: elements of an array overlap or run backwards in memory; pass a copy");
}

void check_table(const Rotation& r, const HeadsView& first) {
  check_shape("rotary", "sin", r.sin, r.cos.rows, r.cos.cols);
  const bool fits = r.cos.rows == 1 || r.cos.rows == first.tokens ||
                    r.cos.rows == first.batches * first.tokens;
  check(fits, "rotary: there are ", r.cos.rows, " positions for ", first.batches, " x ",
        first.tokens, " tokens; give one, one a token, or one for each token of each batch");
}

// Tokens [begin, end) of one batch of an array.
void rotate_part(Format format, const HeadsView& x, const Rotation& r, int64_t batch, int64_t begin,
                 int64_t end, float* room) {
  const int64_t size = format == Format::fp32 ? 4 : 2;
  auto* data = static_cast<char*>(x.data) + batch * x.batch_stride * size;
  MatrixView<const float> cos = r.cos, sin = r.sin;
  if (cos.rows == 1) {
    cos.stride = sin.stride = 0;
  } else if (cos.rows != x.tokens) {
    cos.data = cos.row(batch * x.tokens);
    sin.data = sin.row(batch * x.tokens);
  }
  kernels().rotary({format, data, x.heads, x.token_stride, x.head_stride, cos, sin, r.interleaved,
                    r.back, r.rounded, begin, end, room});
}

}  // namespace

void rotate(const std::string& name, const std::vector<HeadsView>& arrays, const Rotation& r) {
  const FormatInfo& info = format_named("rotary", name);
  check(info.format == Format::fp32 || info.bits == 16, "rotary: format=\"", name,
        "\" is not one of floats; use \"fp32\", \"bf16\" or \"fp16\"");
  check(!arrays.empty(), "rotary: there is no array to turn");
  const HeadsView& first = arrays.front();
  check_table(r, first);
  int64_t columns = 0;
  for (const HeadsView& x : arrays) {
    check_array(x, first, r.cos.cols);
    columns += x.heads * x.head_dim;
  }
  Trace trace("rotary", info.name, "M", first.batches * first.tokens, "D", columns);
  // Long stretches of each array: with every change to another one, the processor has to find out
  // anew what to read ahead.
  const int64_t grain = 8 * row_grain(columns);
  parallel_for(first.batches * first.tokens, grain, [&](int64_t begin, int64_t end) {
    float* room = scratch<float>(rotary_scratch(r.cos.cols));
    while (begin < end) {
      const int64_t batch = begin / first.tokens, start = batch * first.tokens;
      const int64_t stop = std::min(end, start + first.tokens);
      for (const HeadsView& x : arrays)
        rotate_part(info.format, x, r, batch, begin - start, stop - start, room);
      begin = stop;
    }
  });
}

}  // namespace lowbit::ops
