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
  bool zero_points;      // whether groups may have them; they are codes:
  int least_code, most_code, zero_code;
};

const std::vector<FormatInfo>& formats();
const FormatInfo& format_info(Format format);
// The names of all packed formats, for messages.
std::string packed_names();
const FormatInfo& format_named(const char* function, const std::string& name);

}  // namespace lowbit::ops
