// Arrays of 16-bit floats to float32 and back: what inputs and results go through at the edge.
#include "formats/format.hpp"
#include "kernels/args.hpp"

namespace lowbit::LOWBIT_ISA {
namespace {

// Calls use(type) when `format` has 16-bit elements.
template <class Use>
void visit_words(Format format, Use use) {
  visit(format, [&](auto tag) {
    using Type = typename decltype(tag)::type;
    if constexpr (!tag.packed)
      if constexpr (sizeof(typename Type::Element) == 2) use(Type{});
  });
}

// use(where, how many) for 16 values at a time.
template <class Use>
void each16(int64_t begin, int64_t end, Use use) {
  for (int64_t i = begin; i < end; i += kLanes)
    use(i, static_cast<int>(end - i < kLanes ? end - i : kLanes));
}

}  // namespace

void to_float32(const ToFloat32Args& a) noexcept {
  visit_words(a.format, [&](auto type) {
    each16(a.begin, a.end, [&](int64_t i, int lanes) {
      if (lanes == kLanes) return store(a.values + i, type.load16(a.words + i));
      uint16_t tile[kLanes] = {};
      for (int lane = 0; lane < lanes; ++lane) tile[lane] = a.words[i + lane];
      store_first(a.values + i, type.load16(tile), lanes);
    });
  });
}

void from_float32(const FromFloat32Args& a) noexcept {
  visit_words(a.format, [&](auto type) {
    each16(a.begin, a.end, [&](int64_t i, int lanes) {
      if (lanes == kLanes) return type.store16(a.words + i, load(a.values + i));
      uint16_t tile[kLanes];
      type.store16(tile, load_first(a.values + i, lanes));
      for (int lane = 0; lane < lanes; ++lane) a.words[i + lane] = tile[lane];
    });
  });
}

}  // namespace lowbit::LOWBIT_ISA
