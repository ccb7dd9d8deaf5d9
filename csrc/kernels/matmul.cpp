// y = scale * (x W^T + x2 B^T + bias + residual), or with W and B transposed: every linear layer,
// its low-rank part in the same pass, and its backward. In float32 throughout.
#include "kernels/span.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

class Floats {
 public:
  static constexpr bool kIntegers = false;
  static constexpr int64_t kScratch = kMatmulPanels * kLanes * kMatmulDepth;

  Floats(const MatmulArgs& a, const Span& span, float* scratch)
      : x_(a.first.x),
        begin_(span.begin),
        depth_(span.end - span.begin),
        panels_(read_panels(a.first.weight, a.transposed, span.panel, span.count,
                            a.first.depth_begin + span.begin, a.first.depth_begin + span.end,
                            scratch)) {}

  void place(Tile& t, int64_t row) const {
    t.segments[t.segment_count++] = {x_.row(row) + begin_, x_.stride,
                                     panels_.data,         kLanes,
                                     panels_.panel_stride, depth_};
  }

 private:
  MatrixView<const float> x_;
  int64_t begin_, depth_;
  Panels panels_;
};

}  // namespace

void matmul(const MatmulArgs& a) noexcept { multiply_spans<Floats>(a); }

}  // namespace lowbit::LOWBIT_ISA
