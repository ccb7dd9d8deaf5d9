// Matrix products over all threads: what linear layers are made of.
#pragma once

#include <memory>
#include <string>

#include "core/views.hpp"
#include "kernels/args.hpp"

namespace lowbit::ops {

// How the products of an operation are computed; sums are float32 in both.
//
//   fp32  the stored weights exactly, x as it is: the error is that of summing in float32, and the
//         bits are the same on every instruction set
//   bf16  x and the decoded weights, and with an adapter a, b and x a^T, each rounded to bfloat16
//         (8 bits, nearest even; denormals become zero) before they are multiplied in matrix
//         tiles. A sum of K products is off by at most 2^-7 sum |x w|, in practice by about
//         2^-9 sqrt(sum (x w)^2); gradients likewise. bias and residual stay exact.
enum class Compute { fp32, bf16 };

// "fp32", "bf16", or "auto": bf16 where this instruction set has tiles and there are enough rows.
// ArgumentError when the name is not known or cannot be had here.
Compute choose_compute(const char* function, const std::string& name, int64_t rows);

// Memory for one intermediate result of an operation.
struct Buffer {
  Buffer(int64_t rows, int64_t cols)
      : memory(new float[static_cast<size_t>(rows * cols)]), view(memory.get(), rows, cols) {}
  std::unique_ptr<float[]> memory;
  MatrixView<float> view;
};

// The rows of x as the tiles of a bf16 product take them; nothing for fp32. Made once, it serves
// every product of the same x.
std::unique_ptr<uint16_t[]> pack_rows(MatrixView<const float> x, Compute compute);

// Runs a product over all threads. Ranges and scratch are filled in here; so are the tiles of an
// operand that comes without.
void matmul(MatmulArgs args, Compute compute);

}  // namespace lowbit::ops
