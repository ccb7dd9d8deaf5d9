#include "ops/formats.hpp"

#include "core/error.hpp"

namespace lowbit::ops {
namespace {

constexpr int bits_of(Format format) {
  switch (format) {
    case Format::fp32: return 32;
    case Format::bf16: return 16;
    case Format::fp16: return 16;
    case Format::int8: return 8;
    case Format::int4: return 4;
    case Format::nf4: return 4;
  }
  return 0;
}

}  // namespace

const std::vector<FormatInfo>& formats() {
  static const std::vector<FormatInfo> list = {
#define FORMAT(name, Type, packed) \
  {#name, Format::name, packed, bits_of(Format::name), 32 / bits_of(Format::name)},
#include "formats/formats.def"
#undef FORMAT
  };
  return list;
}

const FormatInfo& format_info(Format format) {
  return formats()[static_cast<size_t>(format)];
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
