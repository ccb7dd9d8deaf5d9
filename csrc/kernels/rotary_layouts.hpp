// How rotary positions lie in the columns of a head, and how a block of them is turned. Nothing is
// computed but two products and a sum for each element, so that memory sets the pace; each is
// rounded on its own, as libraries do that multiply first and add later. Two layouts of pairs, and
// two ways to hold them in registers:
//
//   any format   16 elements that are neighbours
//   bf16         32 of them as the even and the odd ones, which two shifts take apart and put
//                together again
//
// A layout says what a token multiplies a block of columns by, which is the same for all of its
// heads, and turns that block of a head:
//
//   Element, kBlock, count()       blocks begin at multiples of kBlock before count()
//   kBlocks                        so many blocks' factors stay in registers
//   prepare(from, to)              computes the factors of these tokens that are not in the tables
//   factors<whole>(token, i)       of the block that begins with i; the last one may not be whole
//   turn<whole>(x, i, factors)     the same block of the head at x
#pragma once

#include "formats/format.hpp"
#include "kernels/encoder_args.hpp"
#include "kernels/rows.hpp"

namespace lowbit::LOWBIT_ISA {

struct Pair { F32 a, b; };

template <class Type, bool kRounded>
inline F32 product(F32 x, F32 y) {
  if constexpr (!kRounded) return x * y;
  typename Type::Element tile[kLanes];
  Type::store16(tile, x * y);
  return Type::load16(tile);
}

template <class Type, bool kRounded>
inline Pair turned(Pair x, F32 cos, F32 sin) {
  const auto times = [](F32 u, F32 v) { return product<Type, kRounded>(u, v); };
  return {times(x.a, cos) - times(x.b, sin), times(x.b, cos) + times(x.a, sin)};
}

// 16 elements, or the first `lanes` of them through a padded copy.
template <class Type>
inline F32 read_elements(const typename Type::Element* p, int lanes) {
  if (lanes == kLanes) return Type::load16(p);
  typename Type::Element tile[kLanes] = {};
  for (int i = 0; i < lanes; ++i) tile[i] = p[i];
  return Type::load16(tile);
}
template <class Type>
inline void write_elements(typename Type::Element* p, F32 v, int lanes) {
  if (lanes == kLanes) return Type::store16(p, v);
  typename Type::Element tile[kLanes];
  Type::store16(tile, v);
  for (int i = 0; i < lanes; ++i) p[i] = tile[i];
}

// 32 bfloat16: a the even ones, b the odd ones.
inline Pair read_words(const uint16_t* p) {
  const I32 words = load_i32(p);
  return {from_bits(shift_left<16>(words)), from_bits(words & set1i(~0xffff))};
}
// To nearest even; the lower half of each lane is left to be dropped. As store_bf16, but a NaN is
// none of its business: here it comes from a bfloat16 or from infinities, and no carry reaches it.
// 0x7fff and the last bit that stays are added as products with 1, which saves two instructions.
inline I32 rounded_up(F32 v) {
  const I32 word = bits(v);
  return add_pair_products(word, merge(set1i(1), word, set1i(0x10000)), set1i(0x17fff));
}
inline void write_words(uint16_t* p, Pair x) {
  store_i32(p, merge(shift_right<16>(rounded_up(x.a)), rounded_up(x.b), set1i(~0xffff)));
}
inline Pair read_words(const uint16_t* p, int count) {
  if (count == 2 * kLanes) return read_words(p);
  uint16_t tile[2 * kLanes] = {};
  for (int i = 0; i < count; ++i) tile[i] = p[i];
  return read_words(tile);
}
inline void write_words(uint16_t* p, Pair x, int count) {
  if (count == 2 * kLanes) return write_words(p, x);
  uint16_t tile[2 * kLanes];
  write_words(tile, x);
  for (int i = 0; i < count; ++i) p[i] = tile[i];
}

// How much of a block of 16 there is.
template <bool whole>
inline int lanes_of(int64_t count, int64_t i) {
  return whole ? kLanes : static_cast<int>(count - i);
}

// The cosines and sines of tokens.
struct Tables {
  explicit Tables(const RotaryArgs& args)
      : a(args), pairs(args.cos.cols), sign(args.back ? -1.0f : 1.0f) {}

  struct Factors { F32 cos, sin; };

  int64_t count() const { return pairs; }
  void prepare(int64_t, int64_t) {}
  template <bool whole>
  Factors factors(int64_t token, int64_t i) const {
    const int lanes = lanes_of<whole>(pairs, i);
    return {read(a.cos.row(token) + i, lanes), read(a.sin.row(token) + i, lanes) * set1(sign)};
  }

  const RotaryArgs& a;
  int64_t pairs;
  float sign;
};

// Those that are computed first, 4 * pairs floats of scratch for a token.
struct PreparedTables : Tables {
  using Tables::Tables;

  float* prepared(int64_t token) const { return a.scratch + (token - begin) * 4 * pairs; }

  int64_t begin = 0;
};

// Pair i is columns i and pairs + i.
template <class Type, bool kRounded>
struct Halves : Tables {
  using Tables::Tables;
  using Element = typename Type::Element;
  static constexpr int64_t kBlock = kLanes;
  static constexpr int kBlocks = 4;

  template <bool whole>
  void turn(Element* x, int64_t i, const Factors& f) const {
    const int lanes = lanes_of<whole>(pairs, i);
    Element *first = x + i, *second = x + pairs + i;
    const Pair pair{read_elements<Type>(first, lanes), read_elements<Type>(second, lanes)};
    const Pair y = turned<Type, kRounded>(pair, f.cos, f.sin);
    write_elements<Type>(first, y.a, lanes);
    write_elements<Type>(second, y.b, lanes);
  }
};

// The whole blocks of 32 pairs, of each the even pairs first, then the odd ones.
template <bool kRounded>
struct Bf16Halves : PreparedTables {
  using PreparedTables::PreparedTables;
  using Element = uint16_t;
  using Rest = Halves<Bf16, kRounded>;  // turns the pairs from count() on
  static constexpr int64_t kBlock = 2 * kLanes;
  static constexpr int kBlocks = 2;
  struct Factors { Pair cos, sin; };  // of the even and the odd ones

  int64_t count() const { return pairs / kBlock * kBlock; }

  void prepare(int64_t from, int64_t to) {
    begin = from;
    for (int64_t t = from; t < to; ++t) {
      spread(a.cos.row(t), 1.0f, prepared(t));
      spread(a.sin.row(t), sign, prepared(t) + pairs);
    }
  }

  template <bool>
  Factors factors(int64_t token, int64_t i) const {
    const float *cos = prepared(token) + i, *sin = cos + pairs;
    return {{load(cos), load(cos + kLanes)}, {load(sin), load(sin + kLanes)}};
  }

  template <bool>
  void turn(uint16_t* x, int64_t i, const Factors& f) const {
    uint16_t *first = x + i, *second = x + pairs + i;
    const Pair u = read_words(first), v = read_words(second);
    const Pair even = turned<Bf16, kRounded>({u.a, v.a}, f.cos.a, f.sin.a);
    const Pair odd = turned<Bf16, kRounded>({u.b, v.b}, f.cos.b, f.sin.b);
    write_words(first, {even.a, odd.a});
    write_words(second, {even.b, odd.b});
  }

 private:
  void spread(const float* in, float factor, float* out) const {
    alignas(64) static constexpr int32_t kEven[] = {0, 2, 4, 6, 8, 10, 12, 14,
                                                    0, 2, 4, 6, 8, 10, 12, 14};
    alignas(64) static constexpr float kSecond[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    const I32 even = load_i32(kEven), odd = even + set1i(1);
    const F32 second = load(kSecond), half = set1(0.5f), times = set1(factor);
    for (int64_t i = 0; i < count(); i += kBlock) {
      const Table16 low = load_table(in + i), high = load_table(in + i + kLanes);
      const auto both = [&](I32 at) {
        return select_less(second, half, lookup16(low, at), lookup16(high, at)) * times;
      };
      store(out + i, both(even));
      store(out + i + kLanes, both(odd));
    }
  }
};

// Pair i is columns 2 i and 2 i + 1: x cos + swapped x (-sin, sin), cosines and sines twice each.
template <class Type, bool kRounded>
struct Neighbours : PreparedTables {
  using PreparedTables::PreparedTables;
  using Element = typename Type::Element;
  static constexpr int64_t kBlock = kLanes;
  static constexpr int kBlocks = 8;

  int64_t count() const { return 2 * pairs; }

  void prepare(int64_t from, int64_t to) {
    begin = from;
    for (int64_t t = from; t < to; ++t) {
      spread(a.cos.row(t), 1.0f, 1.0f, prepared(t));
      spread(a.sin.row(t), -sign, sign, prepared(t) + count());
    }
  }

  template <bool whole>
  Factors factors(int64_t token, int64_t i) const {
    const float* cos = prepared(token) + i;
    const int lanes = lanes_of<whole>(count(), i);
    return {read(cos, lanes), read(cos + count(), lanes)};
  }

  template <bool whole>
  void turn(Element* x, int64_t i, const Factors& f) const {
    const int lanes = lanes_of<whole>(count(), i);
    const F32 v = read_elements<Type>(x + i, lanes);
    const F32 straight = product<Type, kRounded>(v, f.cos);
    write_elements<Type>(x + i, straight + product<Type, kRounded>(swap_pairs(v), f.sin), lanes);
  }

 private:
  // Every number twice, times the one and the other factor.
  void spread(const float* in, float first, float second, float* out) const {
    alignas(64) static constexpr int32_t kTwice[] = {0, 0, 1, 1, 2, 2, 3, 3,
                                                     4, 4, 5, 5, 6, 6, 7, 7};
    alignas(64) float factors[kLanes];
    for (int j = 0; j < kLanes; ++j) factors[j] = j % 2 ? second : first;
    const I32 low = load_i32(kTwice), high = low + set1i(8);
    const F32 times = load(factors);
    int64_t i = 0;
    for (; i + kLanes <= pairs; i += kLanes) {
      const Table16 numbers = load_table(in + i);
      store(out + 2 * i, lookup16(numbers, low) * times);
      store(out + 2 * i + kLanes, lookup16(numbers, high) * times);
    }
    for (; i < pairs; ++i) {
      out[2 * i] = in[i] * first;
      out[2 * i + 1] = in[i] * second;
    }
  }
};

// The same in bfloat16, where even and odd ones are taken apart anyway.
template <bool kRounded>
struct Bf16Neighbours : Tables {
  using Tables::Tables;
  using Element = uint16_t;
  static constexpr int64_t kBlock = kLanes;
  static constexpr int kBlocks = 4;

  template <bool whole>
  void turn(uint16_t* x, int64_t i, const Factors& f) const {
    const int elements = 2 * lanes_of<whole>(pairs, i);
    const Pair pair = read_words(x + 2 * i, elements);
    write_words(x + 2 * i, turned<Bf16, kRounded>(pair, f.cos, f.sin), elements);
  }
};

template <class Type, bool kRounded>
struct Layouts {
  using Half = Halves<Type, kRounded>;
  using Interleaved = Neighbours<Type, kRounded>;
};
template <bool kRounded>
struct Layouts<Bf16, kRounded> {
  using Half = Bf16Halves<kRounded>;
  using Interleaved = Bf16Neighbours<kRounded>;
};

}  // namespace lowbit::LOWBIT_ISA
