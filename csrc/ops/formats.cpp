#include "ops/formats.hpp"

#include "core/error.hpp"

namespace lowbit::ops {
namespace {

// Codes of a packed format whose numbers are evenly spaced, and which therefore has no table.
constexpr FormatInfo info_of(const char* name, Format format, bool packed, int bits, bool table) {
  const bool even = packed && !table, bytes = bits == 8;
  return {name, format, packed, bits, 32 / bits, even, bytes ? -128 : 0, bytes ? 127 : 15,
          bytes ? 0 : 8};
}

}  // namespace

const std::vector<FormatInfo>& formats() {
  static const std::vector<FormatInfo> list = {
#define FORMAT(name, Type, packed, bits, ...) \
  info_of(#name, Format::name, packed, bits, sizeof(#__VA_ARGS__) > 1),
#include "formats/formats.def"
#undef FORMAT
  };
  return list;
}

const FormatInfo& format_info(Format format) {
  return formats()[static_cast<size_t>(format)];
}

std::string packed_names() {
  std::string names;
  for (const FormatInfo& info : formats())
    if (info.packed) names += (names.empty() ? "" : ", ") + std::string(info.name);
  return names;
}

const FormatInfo& format_named(const char* function, const std::string& name) {
  std::string known;
  for (const FormatInfo& info : formats()) {
    if (name == info.name) return info;
    known += (known.empty() ? "\"" : ", \"") + std::string(info.name) + "\"";
  }
  throw ArgumentError(
      message(function, ": format=\"", name, "\" is not known; use one of ", known));
}

}  // namespace lowbit::ops
