// One vector per sequence: the mean or the sum of its rows.
#include "kernels/encoder_args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

void pool(const PoolArgs& a) noexcept {
  for (int64_t s = a.sequence_begin; s < a.sequence_end; ++s) {
    const int64_t begin = a.indptr[s], end = a.indptr[s + 1];
    const bool divide = a.mean && end > begin;
    const F32 scale = set1(divide ? 1.0f / static_cast<float>(end - begin) : 1.0f);
    for (int64_t c = 0; c < a.x.cols; c += kLanes) {
      const int lanes = static_cast<int>(a.x.cols - c < kLanes ? a.x.cols - c : kLanes);
      F32 sum = zero();
      for (int64_t r = begin; r < end; ++r) sum = sum + load_first(a.x.row(r) + c, lanes);
      store_first(a.out.row(s) + c, sum * scale, lanes);
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
