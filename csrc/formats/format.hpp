// The one switch over formats. What a format must define:
//
//   dense   Element; load16(const Element*) -> F32; 16-bit ones also store16(Element*, F32)
//   packed  kColumnsPerLine, kBits; scale(extreme), inverse(extreme), inverse_of(scale) -> F32;
//           encode(x, inverse) -> I32 code; place<column>(code) -> I32 bits of the line;
//           decode<first>(line, out): four columns from first on, still without their scale
//           integers<first>(line) -> SignedBytes or Nibbles: the same four as integers, which
//           stand for themselves times kIntegerUnit
#pragma once

#include "formats/bf16.hpp"
#include "formats/fp16.hpp"
#include "formats/fp32.hpp"
#include "formats/int4.hpp"
#include "formats/int8.hpp"
#include "formats/nf4.hpp"
#include "formats/weight.hpp"

namespace lowbit::LOWBIT_ISA {

template <class Type, bool is_packed>
struct FormatTag {
  using type = Type;
  static constexpr bool packed = is_packed;
};

// Calls use(FormatTag<...>{}) for the format that is stored.
template <class Use>
inline void visit(Format format, Use&& use) {
  switch (format) {
#define FORMAT(name, Type, packed) \
  case Format::name:               \
    return use(FormatTag<Type, packed>{});
#include "formats/formats.def"
#undef FORMAT
  }
}

}  // namespace lowbit::LOWBIT_ISA
