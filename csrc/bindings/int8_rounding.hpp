// The x_scale argument of an operation: "block", "row", or (scale, zero point, low, high) of codes
// for all of x.
#pragma once

#include <tuple>
#include <variant>

#include "bindings/numpy.hpp"
#include "ops/int8_rounding.hpp"

namespace lowbit::bindings {

using XScale = std::variant<std::string, std::tuple<float, int32_t, int32_t, int32_t>>;

inline Int8Rounding rounding_of(const char* function, const XScale& x_scale) {
  if (const auto* name = std::get_if<std::string>(&x_scale))
    return ops::choose_rounding(function, *name);
  const auto& [scale, zero_point, low, high] = std::get<1>(x_scale);
  return ops::choose_rounding(function, ops::AffineCodes{scale, zero_point, low, high});
}

}  // namespace lowbit::bindings
