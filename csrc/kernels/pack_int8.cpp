// Rows of x to bytes, as matmul_int8 and matmul_int8_tiles read them.
#include <cstring>

#include "formats/format.hpp"
#include "kernels/few.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

constexpr float kLargest = 127.0f;
// Blocks of smaller values count as zero; their inverse would not be finite.
constexpr float kTiny = 1e-30f;

// How the bytes of a row are laid out: as Int8Rows says.
template <bool tiles>
struct Layout {
  static constexpr int64_t kRows = tiles ? 16 : kMostRows;  // that lie together
  static constexpr int64_t kColumns = tiles ? 64 : 4;
  static constexpr int64_t kTogether = kColumns < kLanes ? kColumns : kLanes;

  // 16 bytes from column k on; `codes` is where the row begins.
  static void store(const int8_t (&bytes)[kLanes], int64_t k, int8_t* codes) {
    const int64_t column = k & (kColumns - 1);
    int8_t* out = codes + (k - column) * kRows + column;
    for (int64_t i = 0; i < kLanes; i += kTogether)
      std::memcpy(out + i * kRows, bytes + i, kTogether);
  }
};

F32 load_at(const float* x, int64_t count, int64_t i) {
  return count - i >= kLanes ? load(x + i) : load_first(x + i, static_cast<int>(count - i));
}

// The largest value of a block, or of the row, becomes 127.
class ByLargest {
 public:
  explicit ByLargest(const Int8Rounding& rounding) : whole_(rounding.of == Int8Scale::row) {}

  void begin_row(const float* x, int64_t count) {
    if (whole_) measure(x, count);
  }
  void begin_block(const float* x, int64_t count) {
    if (!whole_) measure(x, count);
  }
  I32 code(const float* x, int64_t count, int64_t i, F32&) const {
    return to_int(load_at(x, count, i) * inverse_);
  }
  F32 scale(F32) const { return scale_; }

 private:
  void measure(const float* x, int64_t count) {
    F32 most = zero(), nothing = zero();  // nothing: NaN when a value is infinite or NaN
    for (int64_t i = 0; i < count; i += kLanes) {
      const F32 v = load_at(x, count, i);
      most = max(abs(v), most);
      nothing = fma(v, zero(), nothing);
    }
    const F32 largest = set1(reduce_max(most));
    scale_ = largest * set1(1.0f / kLargest) + set1(reduce_add(nothing));
    inverse_ = select_less(set1(kTiny), largest, set1(kLargest) / largest, zero());
  }

  bool whole_;
  F32 scale_ = zero(), inverse_ = zero();
};

// With a scale and a zero point that are given.
class ByScale {
 public:
  explicit ByScale(const Int8Rounding& rounding)
      : given_(set1(rounding.scale)),
        inverse_(set1(1.0f) / given_),
        low_(set1(static_cast<float>(rounding.low - rounding.zero_point))),
        high_(set1(static_cast<float>(rounding.high - rounding.zero_point))),
        zero_point_(set1i(rounding.zero_point)) {
    store(zero_points_, to_float(zero_point_));
  }

  void begin_row(const float*, int64_t) const {}
  void begin_block(const float*, int64_t) const {}
  I32 code(const float* x, int64_t count, int64_t i, F32& nothing) const {
    // min and max give their second argument when one is NaN.
    const F32 v = min(high_, max(low_, load_at(x, count, i) * inverse_));
    nothing = fma(v, zero(), nothing);
    const int64_t left = count - i;  // bytes beyond the last column are 0
    return to_int(v) + (left >= kLanes ? zero_point_
                                       : to_int(load_first(zero_points_, static_cast<int>(left))));
  }
  F32 scale(F32 nothing) const { return given_ + set1(reduce_add(nothing)); }

 private:
  F32 given_, inverse_, low_, high_;
  I32 zero_point_;
  float zero_points_[kLanes];
};

// The piece of one row that begins at column k; returns the sum of the bytes. With a scale that is
// given, `nothing_yet` becomes NaN when a value is.
template <class Layout, class Rounding>
int32_t pack_piece(const float* x, int64_t k, int64_t count, const Rounding& rounding,
                   F32& nothing_yet, int8_t* codes) {
  F32 nothing = nothing_yet;  // a register: bytes that are stored could be those of any memory
  I32 total = set1i(0);
  int8_t bytes[kLanes];
  for (int64_t i = 0; i < count; i += kLanes) {
    const I32 code = rounding.code(x + k, count, i, nothing);
    store_i8(bytes, code);
    Layout::store(bytes, k + i, codes);
    total = total + code;
  }
  nothing_yet = nothing;
  int32_t lanes[kLanes], sum = 0;
  store_i32(lanes, total);
  for (int32_t lane : lanes) sum += lane;
  return sum;
}

// What the weight's integers bring along: `excess` is what a product of bytes has too much of each,
// `unit` what they are counted in.
struct Integers {
  int excess;
  float unit;
};

template <class Layout, class Rounding>
void pack_row(const PackInt8Args& a, Integers weights, int64_t row, Rounding rounding) {
  const int64_t place = row % Layout::kRows, group = row - place, columns = a.x.cols;
  const int64_t zero_point = a.rounding.zero_point;
  const float* x = a.x.row(row);
  int8_t* codes = a.codes + group * a.stride + place * Layout::kColumns;
  float* scale = a.scales + group * a.blocks + place;
  int32_t* start = a.starts + group * a.pieces + place;
  float* sums = a.sums ? a.sums + row * a.groups : nullptr;
  for (int64_t i = 0; sums && i < a.groups; ++i) sums[i] = 0;
  rounding.begin_row(x, columns);
  for (int64_t k = 0; k < columns; scale += Layout::kRows) {
    const int64_t end = k + a.block < columns ? k + a.block : columns;
    rounding.begin_block(x + k, end - k);
    store_first(scale, rounding.scale(zero()) * set1(weights.unit), 1);
    F32 nothing = zero();
    for (; k < end; k += a.piece, start += Layout::kRows) {
      const int64_t count = end - k < a.piece ? end - k : a.piece;
      const int32_t sum = pack_piece<Layout>(x, k, count, rounding, nothing, codes);
      *start = -weights.excess * sum;
      if (sums) sums[k / a.group_size] += static_cast<float>(sum - zero_point * count) * *scale;
    }
    k = end;
    store_first(scale, rounding.scale(nothing) * set1(weights.unit), 1);
  }
  const int8_t nothing[kLanes] = {};
  for (int64_t k = round_up(columns, kLanes); k < a.stride; k += kLanes)
    Layout::store(nothing, k, codes);
}

template <class Layout, class Rounding>
void pack_rows(const PackInt8Args& a, Integers weights) {
  const int64_t end = 16 * a.block_end < a.x.rows ? 16 * a.block_end : a.x.rows;
  const Rounding rounding(a.rounding);
  for (int64_t row = 16 * a.block_begin; row < end; ++row)
    pack_row<Layout>(a, weights, row, rounding);
}

template <class Layout>
void pack(const PackInt8Args& a, Integers weights) {
  if (a.rounding.of == Int8Scale::given)
    pack_rows<Layout, ByScale>(a, weights);
  else
    pack_rows<Layout, ByLargest>(a, weights);
}

}  // namespace

void pack_int8(const PackInt8Args& a) noexcept {
  visit(a.format, [&](auto tag) {
    if constexpr (tag.packed) {
      using Line = decltype(tag.format.template integers<0>(I32()));
      const Integers weights{kExcess<Line>, tag.format.integer_unit()};
      a.tiles ? pack<Layout<true>>(a, weights) : pack<Layout<false>>(a, weights);
    }
  });
}

}  // namespace lowbit::LOWBIT_ISA
