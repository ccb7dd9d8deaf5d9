// 16-bit floats to float32 and back, over all threads.
#pragma once

#include <string>

#include "core/views.hpp"

namespace lowbit::ops {

// `format`: "bf16" or "fp16", the type of the words. Widening is exact.
void to_float32(const std::string& format, VectorView<const uint16_t> words,
                VectorView<float> values);

// To nearest, ties to even; NaN stays NaN, and what is too large becomes infinite.
void from_float32(const std::string& format, VectorView<const float> values,
                  VectorView<uint16_t> words);

}  // namespace lowbit::ops
