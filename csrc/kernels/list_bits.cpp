// Where the set bits of masks are: words of a text from the masks that say where they begin.
#include "kernels/args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

void list_bits(const ListBitsArgs& a) noexcept {
  int64_t count = 0;
  for (int64_t block = 0; block < a.blocks; ++block) {
    const auto base = a.base + static_cast<uint32_t>(block * kMaskBytes);
    count += list_bits(a.masks[block], base, a.places + count);
  }
  *a.count = count;
}

}  // namespace lowbit::LOWBIT_ISA
