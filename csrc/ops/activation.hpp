// Activations, elementwise over flat arrays: "gelu" (exact), "gelu_tanh" and "silu".
#pragma once

#include <string>

#include "core/views.hpp"

namespace lowbit::ops {

void activation(const std::string& name, VectorView<const float> x, VectorView<float> y);
void activation_backward(const std::string& name, VectorView<const float> dy,
                         VectorView<const float> x, VectorView<float> dx);

}  // namespace lowbit::ops
