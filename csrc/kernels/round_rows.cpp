// Rows of a table to int8, each value read once where the factors are known. A row becomes bytes as
// it lies, so that memory is read in one stream, and the bytes of 16 rows are turned afterwards,
// four of a row at a time: a quarter of what there were to turn of floats.
#include <cstring>

#include "formats/int8.hpp"
#include "kernels/neighbour_args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Columns that are turned at a time; their bytes stay in the first-level cache.
constexpr int64_t kTurned = 512;
constexpr int64_t kTogether = 4 * kLanes;  // bytes, of 16 lines

// Four bytes each, and from row to row an odd number of lines of the cache.
constexpr int64_t kWords = kTurned / 4 + kLanes;
using Bytes = float[kLanes * kWords];

// Bytes of a row that are asked for ahead.
constexpr int64_t kAsked = 4096;

float largest(const float* row, int64_t columns) {
  F32 most = zero();
  int64_t k = 0;
  for (; k + kLanes <= columns; k += kLanes) most = max(abs(load(row + k)), most);
  if (k < columns) most = max(abs(load_first(row + k, static_cast<int>(columns - k))), most);
  return reduce_max(most);
}

I32 code(F32 value, F32 factor) { return Int8().encode(value, factor); }

// Zeros follow the last column.
void round_row(const float* row, int64_t columns, F32 factor, int8_t* bytes) {
  int64_t k = 0;
  for (; k + kTogether <= columns; k += kTogether) {
    const float* x = row + k;
    for (int i = 0; i < 4; ++i)
      __builtin_prefetch(reinterpret_cast<const uint8_t*>(x + i * kLanes) + kAsked, 0, 2);
    store_i8(bytes + k, code(load(x), factor), code(load(x + kLanes), factor),
             code(load(x + 2 * kLanes), factor), code(load(x + 3 * kLanes), factor));
  }
  for (int64_t end = round_up(columns, kTogether); k < end; k += kLanes) {
    const int64_t left = columns - k;
    const int lanes = left < 0 ? 0 : left < kLanes ? static_cast<int>(left) : kLanes;
    store_i8(bytes + k, code(load_first(row + k, lanes), factor));
  }
}

// Lane r of line i is what row r has at word i.
void turn(const Bytes& bytes, int64_t columns, uint8_t* lines) {
  for (int64_t k = 0; k < columns; k += kTogether, lines += kLanes * 64) {
    if (columns - k >= kTogether) {
      transpose16(bytes + k / 4, kWords, reinterpret_cast<float*>(lines), kLanes);
    } else {
      float last[kLanes * kLanes];
      transpose16(bytes + k / 4, kWords, last, kLanes);
      std::memcpy(lines, last, static_cast<size_t>(ceil_div(columns - k, 4) * 64));
    }
  }
}

// Rows from `begin` on, 16 at most.
void round_block(const RoundRowsArgs& a, int64_t begin, const float (&factors)[kLanes],
                 uint8_t* lines) {
  alignas(64) Bytes bytes;
  const int64_t columns = a.rows.cols, last = a.rows.rows - 1;
  for (int64_t k = 0; k < columns; k += kTurned) {
    const int64_t count = columns - k < kTurned ? columns - k : kTurned;
    for (int64_t r = 0; r < kLanes; ++r) {
      // A row that does not exist is another one times zero.
      const float* row = a.rows.row(begin + r < last ? begin + r : last);
      round_row(row + k, count, set1(factors[r]), reinterpret_cast<int8_t*>(bytes + r * kWords));
    }
    turn(bytes, count, lines + k / 4 * 64);
  }
}

void find_factors(const RoundRowsArgs& a, int64_t begin, int count) {
  float magnitudes[kLanes] = {};
  for (int r = 0; r < count; ++r) magnitudes[r] = largest(a.rows.row(begin + r), a.rows.cols);
  store_first(a.found + begin, Int8::inverse(load(magnitudes)), count);
}

}  // namespace

void round_rows(const RoundRowsArgs& a) noexcept {
  const int64_t block_bytes = ceil_div(a.rows.cols, 4) * 64;
  for (int64_t begin = 0; begin < a.rows.rows; begin += kLanes) {
    const int64_t left = a.rows.rows - begin;
    const int count = left < kLanes ? static_cast<int>(left) : kLanes;
    if (!a.factors) find_factors(a, begin, count);
    float factors[kLanes];
    store(factors, load_first((a.factors ? a.factors : a.found) + begin, count));
    round_block(a, begin, factors, a.lines + begin / kLanes * block_bytes);
  }
}

}  // namespace lowbit::LOWBIT_ISA
