// One Adagrad step (Duchi, Hazan and Singer, 2011) over flat arrays.
#include "kernels/rows.hpp"
#include "kernels/table_args.hpp"

namespace lowbit::LOWBIT_ISA {

void adagrad(const AdagradArgs& a) noexcept {
  const F32 lr = set1(a.lr), eps = set1(a.eps);
  for_columns(a.end - a.begin, [&](int64_t i, int lanes) {
    const int64_t at = a.begin + i;
    const F32 g = read(a.gradients + at, lanes);
    const F32 squares = fma(g, g, read(a.squares + at, lanes));
    write(a.squares + at, squares, lanes);
    const F32 change = lr * g / (sqrt(squares) + eps);
    write(a.parameters + at, read(a.parameters + at, lanes) - change, lanes);
  });
}

}  // namespace lowbit::LOWBIT_ISA
