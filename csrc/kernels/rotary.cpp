// Rotary positions, in place. Nothing here is computed but two products and a sum for each element,
// so that memory sets the pace; each is rounded on its own, as libraries do that multiply first and
// add later. Two layouts of pairs, and two ways to hold them in registers:
//
//   any format   16 elements that are neighbours
//   bf16         32 of them as the even and the odd ones, which two shifts take apart and put
//                together again
#include "formats/format.hpp"
#include "kernels/encoder_args.hpp"
#include "kernels/rows.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

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
inline I32 rounded_up(F32 v) {
  const I32 word = bits(v);
  return word + set1i(0x7fff) + (shift_right<16>(word) & set1i(1));
}
inline void write_words(uint16_t* p, Pair x) {
  store_i32(p, shift_right<16>(rounded_up(x.a)) | (rounded_up(x.b) & set1i(~0xffff)));
}
inline Pair read_words(const uint16_t* p, int count) {
  uint16_t tile[2 * kLanes] = {};
  for (int i = 0; i < count; ++i) tile[i] = p[i];
  return read_words(tile);
}
inline void write_words(uint16_t* p, Pair x, int count) {
  uint16_t tile[2 * kLanes];
  write_words(tile, x);
  for (int i = 0; i < count; ++i) p[i] = tile[i];
}

// The cosines and sines of tokens, prepared once for all of their heads where it pays.
struct Tables {
  explicit Tables(const RotaryArgs& args)
      : a(args), pairs(args.cos.cols), sign(args.back ? -1.0f : 1.0f) {}

  // 4 * pairs floats of scratch for a token, and more for a last block that is not full.
  float* prepared(int64_t token) const {
    return a.scratch + (token - begin) * 4 * round_up(pairs, 2 * kLanes);
  }

  const RotaryArgs& a;
  int64_t pairs;
  float sign;
  int64_t begin = 0;
};

// Pair i is columns i and pairs + i.
template <class Type, bool kRounded>
struct Halves : Tables {
  using Tables::Tables;

  void prepare(int64_t, int64_t) {}

  void turn(typename Type::Element* x, int64_t token) const {
    const float *cos = a.cos.row(token), *sin = a.sin.row(token);
    for_columns(pairs, [&](int64_t i, int lanes) {
      const F32 c = read(cos + i, lanes), s = read(sin + i, lanes) * set1(sign);
      const Pair pair{read_elements<Type>(x + i, lanes), read_elements<Type>(x + pairs + i, lanes)};
      const Pair y = turned<Type, kRounded>(pair, c, s);
      write_elements<Type>(x + i, y.a, lanes);
      write_elements<Type>(x + pairs + i, y.b, lanes);
    });
  }
};

// Of each 32 pairs the even ones come first, then the odd ones.
template <bool kRounded>
struct Halves<Bf16, kRounded> : Tables {
  using Tables::Tables;

  void prepare(int64_t from, int64_t to) {
    begin = from;
    for (int64_t t = from; t < to; ++t) {
      float* out = prepared(t);
      spread(a.cos.row(t), 1.0f, out);
      spread(a.sin.row(t), sign, out + round_up(pairs, 2 * kLanes));
    }
  }

  void turn(uint16_t* x, int64_t token) const {
    const int64_t whole = pairs / (2 * kLanes) * (2 * kLanes);
    const float* cos = prepared(token);
    const float* sin = cos + round_up(pairs, 2 * kLanes);
    const auto turn32 = [&](Pair& first, Pair& second, int64_t i) {
      const Pair even = turned<Bf16, kRounded>({first.a, second.a}, load(cos + i), load(sin + i));
      const Pair odd = turned<Bf16, kRounded>({first.b, second.b}, load(cos + i + kLanes),
                                              load(sin + i + kLanes));
      first = {even.a, odd.a};
      second = {even.b, odd.b};
    };
    for (int64_t i = 0; i < whole; i += 2 * kLanes) {
      Pair first = read_words(x + i), second = read_words(x + pairs + i);
      turn32(first, second, i);
      write_words(x + i, first);
      write_words(x + pairs + i, second);
    }
    if (const int rest = static_cast<int>(pairs - whole)) {
      Pair first = read_words(x + whole, rest), second = read_words(x + pairs + whole, rest);
      turn32(first, second, whole);
      write_words(x + whole, first, rest);
      write_words(x + pairs + whole, second, rest);
    }
  }

 private:
  void spread(const float* in, float factor, float* out) const {
    alignas(64) static constexpr int32_t kEven[] = {0, 2, 4, 6, 8, 10, 12, 14,
                                                    0, 2, 4, 6, 8, 10, 12, 14};
    alignas(64) static constexpr float kSecond[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    const I32 even = load_i32(kEven), odd = even + set1i(1);
    const F32 second = load(kSecond), half = set1(0.5f), times = set1(factor);
    const auto spread32 = [&](const float* from, float* to) {
      const Table16 low = load_table(from), high = load_table(from + kLanes);
      const auto both = [&](I32 i) {
        return select_less(second, half, lookup16(low, i), lookup16(high, i)) * times;
      };
      store(to, both(even));
      store(to + kLanes, both(odd));
    };
    int64_t i = 0;
    for (; i + 2 * kLanes <= pairs; i += 2 * kLanes) spread32(in + i, out + i);
    if (i == pairs) return;
    float tile[2 * kLanes] = {};
    for (int64_t j = i; j < pairs; ++j) tile[j - i] = in[j];
    spread32(tile, out + i);
  }
};

// Pair i is columns 2 i and 2 i + 1: x cos + swapped x (-sin, sin), cosines and sines twice each.
template <class Type, bool kRounded>
struct Neighbours : Tables {
  using Tables::Tables;

  void prepare(int64_t from, int64_t to) {
    begin = from;
    for (int64_t t = from; t < to; ++t) {
      float* out = prepared(t);
      spread(a.cos.row(t), 1.0f, 1.0f, out);
      spread(a.sin.row(t), -sign, sign, out + 2 * pairs);
    }
  }

  void turn(typename Type::Element* x, int64_t token) const {
    const int64_t columns = 2 * pairs;
    const float* cos = prepared(token);
    for_columns(columns, [&](int64_t i, int lanes) {
      const F32 v = read_elements<Type>(x + i, lanes);
      const F32 c = read(cos + i, lanes), s = read(cos + columns + i, lanes);
      const F32 straight = product<Type, kRounded>(v, c);
      write_elements<Type>(x + i, straight + product<Type, kRounded>(swap_pairs(v), s), lanes);
    });
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

template <bool kRounded>
struct Neighbours<Bf16, kRounded> : Tables {
  using Tables::Tables;

  void prepare(int64_t, int64_t) {}

  void turn(uint16_t* x, int64_t token) const {
    const float *cos = a.cos.row(token), *sin = a.sin.row(token);
    for_columns(pairs, [&](int64_t i, int lanes) {
      const F32 c = read(cos + i, lanes), s = read(sin + i, lanes) * set1(sign);
      if (lanes == kLanes)
        write_words(x + 2 * i, turned<Bf16, kRounded>(read_words(x + 2 * i), c, s));
      else
        write_words(x + 2 * i, turned<Bf16, kRounded>(read_words(x + 2 * i, 2 * lanes), c, s),
                    2 * lanes);
    });
  }
};

// The table of a token is a few lines that nothing else announces.
inline void fetch_tables(const RotaryArgs& a, int64_t token) {
  constexpr int64_t kLine = 64 / sizeof(float);
  for (int64_t i = 0; i < a.cos.cols; i += kLine) {
    __builtin_prefetch(a.cos.row(token) + i);
    __builtin_prefetch(a.sin.row(token) + i);
  }
}

// Goes through memory in the order in which it lies.
template <class Element, class Turn>
void turn_all(const RotaryArgs& a, Turn turn) {
  Element* data = static_cast<Element*>(a.data);
  const bool token_by_token = a.heads == 1 || a.head_stride < a.token_stride;
  const int64_t step = token_by_token ? 1 : kRotaryTokens;
  for (int64_t begin = a.token_begin; begin < a.token_end; begin += step) {
    const int64_t end = begin + step < a.token_end ? begin + step : a.token_end;
    turn.prepare(begin, end);
    if (end < a.token_end) fetch_tables(a, end);
    for (int64_t h = 0; h < a.heads; ++h)
      for (int64_t t = begin; t < end; ++t)
        turn.turn(data + t * a.token_stride + h * a.head_stride, t);
  }
}

template <class Type, bool kRounded>
void turn_layout(const RotaryArgs& a) {
  if (a.interleaved)
    turn_all<typename Type::Element>(a, Neighbours<Type, kRounded>(a));
  else
    turn_all<typename Type::Element>(a, Halves<Type, kRounded>(a));
}

}  // namespace

void rotary(const RotaryArgs& a) noexcept {
  visit(a.format, [&](auto tag) {
    using Type = typename decltype(tag)::type;
    if constexpr (!tag.packed) {
      if constexpr (sizeof(typename Type::Element) == 2) {
        if (a.rounded) return turn_layout<Type, true>(a);
      }
      turn_layout<Type, false>(a);
    }
  });
}

}  // namespace lowbit::LOWBIT_ISA
