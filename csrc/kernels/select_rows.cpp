// Which rows of a table may be among the nearest, by products that are not exact and a bound of
// what they lack.
#include "core/views.hpp"
#include "kernels/neighbour_args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

void select_rows(const SelectRowsArgs& a) noexcept {
  for (int64_t query = 0; query < a.sums.rows; ++query) {
    const ProductBound& bound = a.bounds[query];
    const F32 of_radius = set1(bound.of_radius), of_size = set1(bound.of_size);
    const F32 least = set1(bound.least);
    const float* sums = a.sums.row(query);
    uint16_t* masks = a.masks + query * a.mask_stride;
    for (int64_t c = 0; c < a.sums.cols; c += kLanes) {
      F32 most = load(sums + c);
      if (a.offsets) most = most + load(a.offsets + c);
      if (a.radii) most = fma(of_radius, load(a.radii + c), most);
      most = fma(of_size, load(a.sizes + c), most);
      // Not less, rather than greater: where anything is NaN, the row stays.
      const int64_t left = a.sums.cols - c;
      const uint32_t exist = left < kLanes ? (1u << left) - 1 : 0xffffu;
      masks[c / kLanes] = static_cast<uint16_t>(~less_mask(most, least) & exist);
    }
  }
}

}  // namespace lowbit::LOWBIT_ISA
