// Matrix products over all threads: what linear layers are made of.
#pragma once

#include <optional>
#include <string>

#include "core/memory.hpp"
#include "core/views.hpp"
#include "kernels/args.hpp"

namespace lowbit::ops {

// How the products of an operation are computed.
//
//   fp32  the stored weights exactly, x as it is, sums in float32: the error is that of summing,
//         and the bits are the same on every instruction set
//   int16 x and the decoded weights as 16-bit integers, with a scale for each 384 of the depth of
//         each row that keeps int32 sums from overflowing. A sum over one such stretch is off by
//         less than 2^-11 of the product of the two Euclidean norms, and usually by 2^-17; adapter,
//         bias and residual stay exact. Infinite and NaN values make their row or column NaN,
//         stretches below 1e-30 are zero. The same bits on every instruction set, too.
//   bf16  x and the decoded weights, and with an adapter a, b and x a^T, each rounded to bfloat16
//         (8 bits, nearest even; denormals become zero) before they are multiplied in matrix tiles
//         that sum in float32. A sum of K products is off by at most 2^-7 sum |x w|, in practice by
//         about 2^-9 sqrt(sum (x w)^2); gradients likewise. bias and residual stay exact.
//   int8  x in blocks of the weight's group (but 128 to 256 columns) as 8-bit integers with a scale
//         each, times the codes of a packed weight as they are; nf4 and fp4 take their levels in 8
//         bits. A value of x is off by at most 1/254 of the largest of its block. Gradients take
//         int16. Adapter, bias and residual stay exact; infinite and NaN values make their row NaN.
//         The same bits on every instruction set. ops/int8_rounding.hpp has scales for whole rows,
//         and for all of x: these are known beforehand, with a zero point, and cut off what is
//         beyond.
enum class Compute { fp32, int16, bf16, int8 };

// Rows from which it pays to round x and every weight first.
constexpr int64_t kManyRows = 32;

// A name, or "auto" for the fastest that errs no more than bf16 does. With enough rows that is bf16
// where this instruction set has tiles; else int16 where it pays, but fp32 for fp32 weights.
// ArgumentError when the name is not known or cannot be had here.
Compute choose_compute(const char* function, const std::string& name, int64_t rows, Format format);

// The same for gradients, which int8 leaves to int16.
Compute choose_backward(const char* function, const std::string& name, int64_t rows, Format format);

// Memory for one intermediate result of an operation.
struct Buffer {
  Buffer(int64_t rows, int64_t cols)
      : memory(take<float>(rows * cols)), view(memory.get(), rows, cols) {}
  Memory<float> memory;
  MatrixView<float> view;
};

// Runs a product over all threads. Ranges and scratch are filled in here; so is x in the form that
// the kernel reads. `along` is a narrow product of the same x, which is computed first, from x as
// it is but in bf16, and may make what args.second reads. `rounding` is that of x in int8.
void matmul(MatmulArgs args, Compute compute, std::optional<MatmulArgs> along = {},
            const Int8Rounding& rounding = {});

// Runs a product in the calling thread, which may be one of a pool's. Its rows of x are packed as
// `compute` wants them.
void multiply_here(MatmulArgs args, Compute compute = Compute::fp32);

}  // namespace lowbit::ops
