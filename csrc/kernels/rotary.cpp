// Rotary positions, in place; rotary_layouts.hpp has what is done to a block of columns.
#include "kernels/rotary_layouts.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// The table of a token is a few lines that nothing else announces.
inline void fetch_tables(const RotaryArgs& a, int64_t token) {
  constexpr int64_t kLine = 64 / sizeof(float);
  for (int64_t i = 0; i < a.cos.cols; i += kLine) {
    __builtin_prefetch(a.cos.row(token) + i);
    __builtin_prefetch(a.sin.row(token) + i);
  }
}

// So many blocks of every head of a token, whose factors stay in registers.
template <int blocks, bool whole, class Layout>
void turn_blocks(const Layout& layout, typename Layout::Element* x, int64_t token, int64_t heads,
                 int64_t stride, int64_t i) {
  typename Layout::Factors factors[blocks];
#pragma GCC unroll 8
  for (int b = 0; b < blocks; ++b)
    factors[b] = layout.template factors<whole>(token, i + b * Layout::kBlock);
  for (int64_t h = 0; h < heads; ++h)
#pragma GCC unroll 8
    for (int b = 0; b < blocks; ++b)
      layout.template turn<whole>(x + h * stride, i + b * Layout::kBlock, factors[b]);
}

// The columns of heads of a token from block i on: `blocks` at a time, the rest in halves of that.
template <int blocks, class Layout>
void turn_heads(const Layout& layout, typename Layout::Element* x, int64_t token, int64_t heads,
                int64_t stride, int64_t i) {
  constexpr int64_t kColumns = blocks * Layout::kBlock;
  for (; i + kColumns <= layout.count(); i += kColumns)
    turn_blocks<blocks, true>(layout, x, token, heads, stride, i);
  if constexpr (blocks > 1) {
    turn_heads<blocks / 2>(layout, x, token, heads, stride, i);
  } else if constexpr (requires { typename Layout::Rest; }) {
    const typename Layout::Rest rest(layout.a);
    if (i < rest.count()) turn_heads<1>(rest, x, token, heads, stride, i);
  } else if (i < layout.count()) {
    turn_blocks<1, false>(layout, x, token, heads, stride, i);
  }
}

// Whether turn_heads goes through the heads once. If not, it is to get one at a time: other columns
// of many heads, again and again, are not what a processor reads ahead.
template <class Layout>
bool in_one_pass(const Layout& layout) {
  if constexpr (requires { typename Layout::Rest; })
    if (layout.count() == 0) return in_one_pass(typename Layout::Rest(layout.a));
  for (int64_t blocks = 1; blocks <= Layout::kBlocks; blocks *= 2)
    if (layout.count() == blocks * Layout::kBlock) return true;
  return false;
}

// Goes through memory in the order in which it lies.
template <class Layout>
void turn_all(const RotaryArgs& a, Layout layout) {
  auto* data = static_cast<typename Layout::Element*>(a.data);
  const bool token_by_token = a.heads == 1 || a.head_stride < a.token_stride;
  const int64_t step = token_by_token ? 1 : kRotaryTokens;
  const int64_t heads = token_by_token && in_one_pass(layout) ? a.heads : 1;
  for (int64_t begin = a.token_begin; begin < a.token_end; begin += step) {
    const int64_t end = begin + step < a.token_end ? begin + step : a.token_end;
    layout.prepare(begin, end);
    if (end < a.token_end) fetch_tables(a, end);
    for (int64_t h = 0; h < a.heads; h += heads)
      for (int64_t t = begin; t < end; ++t)
        turn_heads<Layout::kBlocks>(layout, data + t * a.token_stride + h * a.head_stride, t, heads,
                                    a.head_stride, 0);
  }
}

template <class Type, bool kRounded>
void turn_layout(const RotaryArgs& a) {
  using All = Layouts<Type, kRounded>;
  if (a.interleaved)
    turn_all(a, typename All::Interleaved(a));
  else
    turn_all(a, typename All::Half(a));
}

}  // namespace

void rotary(const RotaryArgs& a) noexcept {
  visit(a.format, [&](auto tag) {
    using Type = typename decltype(tag)::type;
    if constexpr (!tag.packed) {
      if constexpr (sizeof(typename Type::Element) == 2) {
        if (a.rounded) return turn_layout<Type, true>(a);
      }
      turn_layout<Type, false>(a);
    }
  });
}

}  // namespace lowbit::LOWBIT_ISA
