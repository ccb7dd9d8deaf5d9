// One step of gradient descent over flat arrays, with or without momentum.
#include "kernels/rows.hpp"
#include "kernels/table_args.hpp"

namespace lowbit::LOWBIT_ISA {

void sgd(const SgdArgs& a) noexcept {
  const F32 step = set1(-a.lr), momentum = set1(a.momentum);
  for_columns(a.end - a.begin, [&](int64_t i, int lanes) {
    const int64_t at = a.begin + i;
    F32 g = read(a.gradients + at, lanes);
    if (a.buffer) {
      g = fma(momentum, read(a.buffer + at, lanes), g);
      write(a.buffer + at, g, lanes);
    }
    write(a.parameters + at, fma(step, g, read(a.parameters + at, lanes)), lanes);
  });
}

}  // namespace lowbit::LOWBIT_ISA
