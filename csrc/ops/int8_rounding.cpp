#include "ops/int8_rounding.hpp"

#include <cmath>
#include <limits>

#include "ops/check.hpp"

namespace lowbit::ops {

Int8Rounding choose_rounding(const char* function, const std::string& name) {
  check(name == "block" || name == "row", function, ": x_scale=\"", name,
        "\" is not known; use \"block\", \"row\" or AffineParams");
  return {name == "row" ? Int8Scale::row : Int8Scale::block};
}

Int8Rounding choose_rounding(const char* function, const AffineCodes& codes) {
  check(std::isfinite(codes.scale) && codes.scale >= std::numeric_limits<float>::min(), function,
        ": x_scale has the scale ", codes.scale, "; it must be finite and 1.2e-38 at least");
  check(codes.low <= codes.zero_point && codes.zero_point <= codes.high, function,
        ": x_scale has the zero point ", codes.zero_point, " outside its codes ", codes.low, " to ",
        codes.high);
  const int64_t count = int64_t{codes.high} - codes.low + 1;
  check(count <= 255, function, ": x_scale has ", count, " codes, ", codes.low, " to ", codes.high,
        "; int8 products take 255 at most: make it with narrow_range=True");
  const int64_t first = int64_t{codes.low} + 127;  // the code that becomes byte 0
  return {Int8Scale::given, codes.scale, static_cast<int32_t>(codes.zero_point - first), -127,
          static_cast<int32_t>(codes.high - first)};
}

void check_rounding(const char* function, const Int8Rounding& rounding, Compute compute) {
  check(rounding.of == Int8Scale::block || compute == Compute::int8, function,
        ": x_scale is for compute=\"int8\"; leave one of them out or use both");
}

}  // namespace lowbit::ops
