// The classes of code points beyond ASCII, page by page: those of one script differ in their last
// bytes alone, so that a table of 64 bits tells of all of them at once.
#include "kernels/args.hpp"
#include "simd/simd.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Code points that share all bytes but the last.
struct SamePage {
  uint64_t leads;
  uint32_t page;
  int length;  // in bytes
};

inline uint64_t equal(Bytes64 bytes, uint8_t byte) { return in_range(bytes, byte, byte); }

inline SamePage same_page(Bytes64 bytes, const uint8_t* point, uint64_t leads) {
  const uint32_t first = point[0], second = point[1] & 0x3f;
  leads &= equal(bytes, point[0]);
  if (first < 0xe0) return {leads, first & 0x1f, 2};
  leads &= equal(bytes, point[1]) >> 1;
  if (first < 0xf0) return {leads, (first & 0x0f) << 6 | second, 3};
  leads &= equal(bytes, point[2]) >> 2;
  return {leads, (first & 0x07) << 12 | second << 6 | (point[2] & 0x3fu), 4};
}

// First bytes of points that end behind the 64 bytes.
inline uint64_t cut_off(const uint8_t* text) {
  return uint64_t{text[63] >= 0xc0} << 63 | uint64_t{text[62] >= 0xe0} << 62 |
         uint64_t{text[61] >= 0xf0} << 61;
}

}  // namespace

void classify_points(const ClassifyPointsArgs& a) noexcept {
  const Bytes64 bytes = load_bytes64(a.text);
  uint64_t masks[kPointBits] = {};
  *a.leads = in_range(bytes, 0xc0, 0xff);
  for (uint64_t rest = *a.leads & ~cut_off(a.text); rest != 0;) {
    const uint8_t* point = a.text + __builtin_ctzll(rest);
    if (const uint8_t classes = a.uniform[point[0]]) {
      const uint64_t leads = rest & equal(bytes, point[0]);
      rest &= ~leads;
      for (int k = 0; k < kPointBits; ++k) masks[k] |= leads & -uint64_t{(classes >> k & 1u) != 0};
      continue;
    }
    const auto [leads, page, length] = same_page(bytes, point, rest);
    rest &= ~leads;
    const PointPage& table = a.table[a.pages[page]];
    for (int k = 0; k < a.classes; ++k)
      if (table.bits[k] != 0)
        masks[k] |= lookup_bits(table.bits[k], bytes) >> (length - 1) & leads;
  }
  for (int k = 0; k < a.classes; ++k) a.masks[k] = masks[k];
}

}  // namespace lowbit::LOWBIT_ISA
