// The list of formats as text, for names in and names out.
#pragma once

#include <string>
#include <vector>

#include "formats/weight.hpp"

namespace lowbit::ops {

struct FormatInfo {
  const char* name;
  Format format;
  bool packed;
  int bits;              // of one code
  int columns_per_line;  // packed only
};

const std::vector<FormatInfo>& formats();
const FormatInfo& format_info(Format format);
const FormatInfo& format_named(const char* function, const std::string& name);

}  // namespace lowbit::ops
