// The product of matmul.cpp in 16-bit integers: twice as many products per instruction as float32
// where pairs of int16 multiply and add into int32 (AVX2, AVX-512 with VNNI), and several times
// more exact than bfloat16. The low-rank part, bias and residual stay in float32.
//
// Rows of x, and columns of W^T, are rounded stretch by stretch of the depth, each stretch with a
// scale of its own. An int32 sum must not overflow whatever the values are, and must not give away
// bits for a worst case that cannot occur: by Cauchy and Schwarz no sum of products exceeds the
// product of the two Euclidean norms, so each stretch is scaled to a norm below 2^15.5. A value
// then has an error of about 2^-13 of the stretch's root mean square (for a depth of 384).
#include "kernels/span.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr int64_t kDepthUnit = 4;  // of the tile's loop; what is beyond the depth is zero
constexpr float kLargest = 32767.0f;
// (kNorm + sqrt(384) / 2)^2 < 2^31: rounding adds at most a half to each of 384 values.
constexpr float kNorm = 46328.0f;
// Stretches of smaller values count as zero; their inverse would not be finite.
constexpr float kTiny = 1e-30f;

// How to round a stretch, lane by lane: codes = x * factor, x = codes * scale.
struct Rounding {
  F32 factor, scale;
};

F32 normalizer(F32 largest) {
  return select_less(set1(kTiny), largest, set1(1.0f) / largest, zero());
}

// `squares` is the sum of (x * normal)^2, which neither overflows nor vanishes. It is NaN when a
// value is infinite or NaN, and so becomes the scale.
Rounding make_rounding(F32 largest, F32 normal, F32 squares) {
  const F32 size = min(set1(kLargest), set1(kNorm) / sqrt(squares));
  return {size * normal, largest / size};
}

void pack_row(const float* x, int64_t depth, int16_t* codes, float* scale) {
  const auto load_at = [&](int64_t k) {
    const int64_t left = depth - k;
    return left >= kLanes ? load(x + k) : load_first(x + k, static_cast<int>(left));
  };
  F32 most = zero(), squares = zero();
  for (int64_t k = 0; k < depth; k += kLanes) most = max(abs(load_at(k)), most);
  const F32 largest = set1(reduce_max(most)), normal = normalizer(largest);
  for (int64_t k = 0; k < depth; k += kLanes) {
    const F32 v = load_at(k) * normal;
    squares = fma(v, v, squares);
  }
  const Rounding rounding = make_rounding(largest, normal, set1(reduce_add(squares)));
  for (int64_t k = 0; k < depth; k += kLanes)
    store_i16(codes + k, to_int(load_at(k) * rounding.factor));
  store_first(scale, rounding.scale, 1);
}

// Sums side by side, since one would wait for itself. What is beyond the depth is zero and adds
// nothing.
constexpr int kChains = 4;
static_assert(kDepthUnit % kChains == 0);

// A panel of floats [depth][16] to pairs of depths and 16 scales. `panel` is written to where it is
// filled up with zeros.
void round_panel(float* panel, int64_t depth, int16_t* codes, float* scales) {
  const int64_t padded = round_up(depth, kDepthUnit);
  for (int64_t k = depth; k < padded; ++k) store(panel + k * kLanes, zero());
  F32 most[kChains], squares[kChains];
  for (int c = 0; c < kChains; ++c) most[c] = zero(), squares[c] = zero();
  for (int64_t k = 0; k < padded; k += kChains)
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) most[c] = max(abs(load(panel + (k + c) * kLanes)), most[c]);
  const F32 largest = max(max(most[0], most[1]), max(most[2], most[3]));
  const F32 normal = normalizer(largest);
  for (int64_t k = 0; k < padded; k += kChains)
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) {
      const F32 v = load(panel + (k + c) * kLanes) * normal;
      squares[c] = fma(v, v, squares[c]);
    }
  const Rounding rounding = make_rounding(
      largest, normal, (squares[0] + squares[1]) + (squares[2] + squares[3]));
  for (int64_t k = 0; k < padded; k += 2, codes += 2 * kLanes) {
    const I32 even = to_int(load(panel + k * kLanes) * rounding.factor);
    const I32 odd = to_int(load(panel + (k + 1) * kLanes) * rounding.factor);
    store_i32(codes, (even & set1i(0xffff)) | shift_left<16>(odd));
  }
  store(scales, rounding.scale);
}

class Integers {
 public:
  static constexpr bool kIntegers = true;
  static constexpr int64_t kScratch = kMatmulInt16Scratch;

  Integers(const MatmulArgs& a, const Span& span, float* scratch)
      : x_(a.first.int16), span_(span), depth_(round_up(span.end - span.begin, kDepthUnit)) {
    float* scales = scratch;
    auto* codes = reinterpret_cast<int16_t*>(scales + kMatmulPanels * kLanes);
    float* panel = scratch + kScratch - kLanes * kMatmulDepth;
    const int64_t first = a.first.depth_begin;
    for (int64_t p = 0; p < span.count; ++p) {
      read_panel(a.first.weight, a.transposed, span.panel + p, first + span.begin,
                 first + span.end, panel);
      round_panel(panel, span.end - span.begin, codes + p * kLanes * depth_, scales + p * kLanes);
    }
    codes_ = codes;
    scales_ = scales;
  }

  void place(Tile& t, int64_t row) const {
    IntegerSegment& s = t.integers;
    s.a = x_.codes + row * x_.stride + span_.begin;
    s.a_stride = x_.stride;
    s.a_scales = x_.scales + row * x_.stretches + span_.begin / kMatmulDepth;
    s.a_scale_stride = x_.stretches;
    s.b = codes_;
    s.panel_stride = kLanes * depth_;
    s.b_scales = scales_;
    s.depth = depth_;
  }

 private:
  Int16Rows x_;
  Span span_;
  int64_t depth_;
  const int16_t* codes_;
  const float* scales_;
};

}  // namespace

void pack_int16(const PackInt16Args& a) noexcept {
  for (int64_t row = a.row_begin; row < a.row_end; ++row)
    for (int64_t i = 0; i < a.stretches; ++i) {
      const int64_t k = i * kMatmulDepth, left = a.x.cols - k;
      pack_row(a.x.row(row) + k, left < kMatmulDepth ? left : kMatmulDepth,
               a.codes + row * a.stride + k, a.scales + row * a.stretches + i);
    }
}

void matmul_int16(const MatmulArgs& a) noexcept { multiply_spans<Integers>(a); }

}  // namespace lowbit::LOWBIT_ISA
