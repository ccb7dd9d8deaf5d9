// The optimizer over flat arrays.
#pragma once

#include "core/views.hpp"

namespace lowbit::ops {

struct AdamwOptions {
  double lr, beta1, beta2, eps, weight_decay;
  int64_t step;       // counted from 1
  double grad_scale;  // multiplies every gradient first: the result of clipping
};

// One step of AdamW in place, as torch.optim.AdamW computes it.
void adamw(VectorView<float> parameters, VectorView<const float> gradients, VectorView<float> m,
           VectorView<float> v, const AdamwOptions& options);

// In double precision and in a fixed order: the same for any number of threads.
double sum_of_squares(VectorView<const float> x);

}  // namespace lowbit::ops
