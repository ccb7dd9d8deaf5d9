// Positions that turn queries and keys.
#pragma once

#include <string>
#include <vector>

#include "core/views.hpp"

namespace lowbit::ops {

// Heads of a batch of tokens in memory of any order, the columns of a head being contiguous.
struct HeadsView {
  void* data = nullptr;
  int64_t batches = 0, tokens = 0, heads = 0, head_dim = 0;
  int64_t batch_stride = 0, token_stride = 0, head_stride = 0;  // in elements
};

struct Rotation {
  // [batches * tokens, pairs], or [tokens, pairs] for all batches, or [1, pairs] for all tokens.
  MatrixView<const float> cos, sin;
  bool interleaved = false;  // pair i is columns 2 i and 2 i + 1, otherwise i and pairs + i
  bool back = false;         // by the negative angles
  bool rounded = false;      // products are rounded to the format before they are added
};

// Turns the first 2 * pairs columns of every head in place. The arrays, one or several, have the
// same batches and tokens; `format` is that of their elements, a dense one.
void rotate(const std::string& format, const std::vector<HeadsView>& arrays,
            const Rotation& rotation);

}  // namespace lowbit::ops
