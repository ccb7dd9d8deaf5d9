// One vector per packed sequence.
#pragma once

#include <string>

#include "core/views.hpp"

namespace lowbit::ops {

// mode "mean" or "sum" over the rows of a sequence, or "cls", its first row. An empty sequence
// gives zeros.
void pool(MatrixView<const float> x, VectorView<const int64_t> indptr, const std::string& mode,
          MatrixView<float> out);
void pool_backward(MatrixView<const float> dout, VectorView<const int64_t> indptr,
                   const std::string& mode, MatrixView<float> dx);

// Every row scaled to length 1; a zero row stays zero.
void l2_normalize(MatrixView<const float> x, MatrixView<float> out);

}  // namespace lowbit::ops
