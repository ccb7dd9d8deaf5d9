// GELU with the exact error function, elementwise over flat arrays.
#pragma once

#include "core/views.hpp"

namespace lowbit::ops {

void gelu(VectorView<const float> x, VectorView<float> y);
void gelu_backward(VectorView<const float> dy, VectorView<const float> x, VectorView<float> dx);

}  // namespace lowbit::ops
