// Which bytes of a text are letters, digits, white space: masks for scanners of split patterns.
#include "kernels/args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {

void classify(const ClassifyArgs& a) noexcept {
  for (int64_t block = 0; block < a.blocks; ++block) {
    const Bytes64 bytes = load_bytes64(a.text + block * kMaskBytes);
    ByteMasks masks;
    masks.capitals = in_range(bytes, 'A', 'Z');
    masks.letters = masks.capitals | in_range(bytes, 'a', 'z');
    masks.digits = in_range(bytes, '0', '9');
    masks.spaces = in_range(bytes, ' ', ' ');
    masks.whites = masks.spaces | in_range(bytes, '\t', '\r');
    masks.newlines = in_range(bytes, '\n', '\n') | in_range(bytes, '\r', '\r');
    masks.apostrophes = in_range(bytes, '\'', '\'');
    masks.high = in_range(bytes, 0x80, 0xff);
    a.masks[block] = masks;
  }
}

}  // namespace lowbit::LOWBIT_ISA
