// The contract every instruction set fulfils, and the only way a kernel touches vector registers.
//
// A vector has 16 lanes on every instruction set (one register on AVX-512, two on AVX2, four on
// NEON, an array in scalar code), every product-sum is an explicit fma, and reductions share one
// tree. So a kernel written with these types gives the same bits everywhere.
//
//   F32, I32                      16 floats, 16 int32
//   zero() set1(v) load(p) store(p, v)               unaligned
//   load_first(p, n) store_first(p, v, n)            the first n lanes, 0 <= n <= 16; rest zero
//   stream(p, v)                  store to p aligned to 64 bytes, past the caches where that can be
//                                 said: the line is not read first. Other threads may read what
//                                 was streamed after stream_fence()
//   a + b, a - b, a * b, a / b, min, max, sqrt, abs, fma(a, b, c) = a * b + c
//   select_less(a, b, x, y)       a < b ? x : y, lane by lane
//   less_mask(a, b)               bit i of the uint32_t: a < b in lane i
//   copysign(magnitude, sign)
//   swap_pairs(v)                 lanes 0 and 1 exchanged, 2 and 3, and so on
//   to_int(v)                     nearest, ties to even;  to_float(i)
//   bits(v) from_bits(i)          reinterpret
//   set1i(v) load_i32(p) store_i32(p, i)  i + j, i - j, i & j, i | j, i ^ j
//   max_unsigned(i, j)            the larger as numbers without sign
//   merge(i, j, mask)             i | (j & mask)
//   shift_left<n>(i) shift_right<n>(i) (zeros in) shift_right_signed<n>(i) rotate_left<n>(i)
//   load_bf16(p) store_bf16(p, v)  16 bfloat16, rounded to nearest even
//   to_bf16(v)                    the same 16 words in the lower halves of an I32, zeros above
//   load_fp16(p) store_fp16(p, v)  16 halves, rounded to nearest even; NaN stays NaN, made quiet
//   load_i8(p)                    16 signed bytes to int32
//   store_i16(p, i)               16 int32 to int16, saturated
//   add_pair_products(sum, i, j)  sum + i.low * j.low + i.high * j.high, of the signed 16-bit
//                                 halves of each lane; kFastPairs: this beats fma
//   lookup16(table, i)            table[i & 15] for a table of 16 floats held in registers: Table16
//   lookup256(table, p)           table[p[i]] for 16 bytes and a table in memory
//   lookup_nibbles<low>(table, i, out)  out[b] = table[the four bits from bit `low` on, 0 or 4, of
//                                 byte b of each lane] for b = 0..3; its table, a ByteTable16,
//                                 comes from load_byte_table(p)
//   lookup_i8(table, i)           table[byte] for each of the 64 bytes, which are 0..15, of a table
//                                 of 16 signed bytes: Bytes16, load_bytes16(p)
//   store_i8(p, i)                16 int32 of -128..127 to signed bytes
//   store_i8(p, i, j, k, l)       64 of them
//   SignedBytes, Nibbles          four weights a lane: signed_bytes(i) of bytes -128..127, and
//                                 Nibbles{i} of bytes 0..15 that stand for -8..7
//   add_products(sum, w, j)       adds the products of the weights with the signed bytes of j,
//                                 -127..127, and kExcess<W> times each byte of j. sum is a Sum<W>,
//                                 begun with no_sum<W>(); widen(sum) makes it an I32 after
//                                 kSteps<W> calls at most
//   row_pairs(w, next)            RowPairs<W>: weights of four columns and of the next four, for
//                                 two rows of bytes at once; kFastRowPairs: beats row by row
//   add_products(sums, pairs, p, q)  adds as above. p has four bytes of one row, then four of the
//                                 other, q the next four of each. sums is a PairSums<W>, begun
//                                 with no_pair_sums<W>(); widen<0>(sums) and widen<1>(sums) are
//                                 the rows' I32, after half as many calls at most
//   load_bytes64(p)               Bytes64: 64 bytes without sign
//   in_range(b, first, last)      bit i of the uint64_t: whether byte i is in first..last
//   lookup_bits(table, b)         bit i of the uint64_t: bit (byte i) & 63 of the uint64_t table
//   list_bits(bits, base, p)      writes base + i for every set bit i of the uint64_t in order and
//                                 returns how many; up to 16 places behind are written, too
//   reduce_add(v) reduce_max(v)
//   reduce_add16(p)               lane i: reduce_add(load(p + 16 i)), of 256 floats
//   transpose8x16(in, in_stride, out, out_stride)    8 rows of 16 floats to 16 of 8
//   transpose16(in, in_stride, out, out_stride)      16 x 16 floats
//   kTileVectors, kTileSums       register tile of a matrix product: columns, and accumulators
#pragma once

#include <cstdint>

#if LOWBIT_ISA_avx512 || LOWBIT_ISA_amx
#include "simd/avx512.hpp"
#elif LOWBIT_ISA_avx2
#include "simd/avx2.hpp"
#elif LOWBIT_ISA_neon || LOWBIT_ISA_neon_dot || LOWBIT_ISA_neon_i8mm
#include "simd/neon.hpp"
#else
#include "simd/scalar.hpp"
#endif

#if !LOWBIT_ISA_avx512 && !LOWBIT_ISA_amx
#include "simd/list_bits.hpp"
#endif
#if LOWBIT_ISA_avx512 || LOWBIT_ISA_amx || LOWBIT_ISA_avx2
#include "simd/reduce16_x86.hpp"
#else
#include "simd/reduce16.hpp"
#endif
#if LOWBIT_ISA_neon_i8mm
#include "simd/row_pairs_i8mm.hpp"
#else
#include "simd/row_pairs.hpp"
#endif

namespace lowbit::LOWBIT_ISA {

constexpr int kLanes = 16;

inline void transpose16(const float* in, int64_t in_stride, float* out, int64_t out_stride) {
  transpose8x16(in, in_stride, out, out_stride);
  transpose8x16(in + 8 * in_stride, in_stride, out + 8, out_stride);
}

}  // namespace lowbit::LOWBIT_ISA
