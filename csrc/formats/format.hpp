// The one switch over formats. What a format must define:
//
//   dense   Element; load16(const Element*) -> F32; store16(Element*, F32)
//   packed  kColumnsPerLine; scale(extreme), inverse(extreme), inverse_of(scale) -> F32, where the
//           extreme of a group is its largest magnitude, with its sign if kSignedScale;
//           encode<cut>(x, inverse) -> I32 code, or what recode makes codes of; `cut` where values
//           may lie beyond the codes; place<column>(line, code) -> I32 line with the code in it;
//           recode(line) -> I32 line of codes;
//           decode<first>(line, out): four columns from first on, still without their scale
//           integers<first>(line) -> SignedBytes or Nibbles: the same four as integers, which
//           stand for themselves times integer_unit()
//           kTakesZeros: whether groups may have zero points; then encode's codes are
//           kLeast..kMost, and a value is the decoded number less the zero point
#pragma once

#include "formats/bf16.hpp"
#include "formats/fp16.hpp"
#include "formats/fp32.hpp"
#include "formats/fp4.hpp"
#include "formats/int4.hpp"
#include "formats/int8.hpp"
#include "formats/mxfp4.hpp"
#include "formats/nf4.hpp"
#include "formats/weight.hpp"

namespace lowbit::LOWBIT_ISA {

template <class Type, bool is_packed>
struct FormatTag {
  using type = Type;
  static constexpr bool packed = is_packed;
  Type format;
};

// Calls use(FormatTag<...>) for the format that is stored.
template <class Use>
inline void visit(Format format, Use&& use) {
  switch (format) {
#define FORMAT(name, Type, packed, bits, ...) \
  case Format::name:                          \
    return use(FormatTag<Type, packed>{Type{__VA_ARGS__}});
#include "formats/formats.def"
#undef FORMAT
  }
}

}  // namespace lowbit::LOWBIT_ISA
