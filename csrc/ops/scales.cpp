#include "ops/scales.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"

namespace lowbit::ops {
namespace {

constexpr std::array kScaleTypes = {
#define SCALE_TYPE(name, bytes) #name,
#include "formats/scale_types.def"
#undef SCALE_TYPE
};

std::array<float, 256> make_dynamic_map() {
  // Seven exponents; exponent e has 2^e linear fractions in (0.1, 1), scaled by 10^(e - 6). Edges
  // are counted from the nearer end and rounded once, which makes every level bitsandbytes' own.
  std::array<float, 256> map{};
  size_t next = 0;
  for (int e = 0; e < 7; ++e) {
    const int parts = 1 << e;
    const double low = 0.1f, step = (1.0f - 0.1f) / static_cast<float>(parts);
    const auto edge = [&](int i) {
      return static_cast<float>(i < (parts + 1) / 2 ? low + step * i : 1.0 - step * (parts - i));
    };
    for (int i = 0; i < parts; ++i) {
      const float middle = (edge(i) + edge(i + 1)) / 2;
      const float value = middle * static_cast<float>(std::pow(10.0, e - 6));
      map[next++] = value;
      map[next++] = -value;
    }
  }
  map[next++] = 0.0f;
  map[next++] = 1.0f;
  std::sort(map.begin(), map.end());
  return map;
}

// The number of levels below `value`, by halving without a branch that could be foreseen wrongly,
// then the nearer of the two levels around it.
uint8_t nearest_dynamic(const float* map, float value) {
  int below = 0;
  for (int step = 128; step > 0; step /= 2) below += map[below + step - 1] < value ? step : 0;
  if (below == 0) return 0;
  const float middle = (map[below - 1] + map[below]) / 2;
  return static_cast<uint8_t>(value > middle ? below : below - 1);
}

// Rounds scales to 8 bits around their mean.
void quantize_scales(PackedMatrix& m, const float* scales) {
  const int64_t count = m.rows * m.groups;
  const float* map = dynamic_map();
  double total = 0;
  for_scales(m, 0, count, [&](int64_t at) { total += scales[at]; });
  m.scale_offset = count ? static_cast<float>(total / static_cast<double>(count)) : 0.0f;
  parallel_for(ceil_div(count, kScaleBlock), 16, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t begin = block * kScaleBlock, end = std::min(begin + kScaleBlock, count);
      float extreme = 0;
      for_scales(m, begin, end, [&](int64_t at) {
        extreme = std::max(extreme, std::fabs(scales[at] - m.scale_offset));
      });
      m.scale_scales[block] = extreme;
      const float inverse = 1.0f / std::max(extreme, 1e-38f);
      for_scales(m, begin, end, [&](int64_t at) {
        m.scales[at] = nearest_dynamic(map, (scales[at] - m.scale_offset) * inverse);
      });
    }
  });
}

// The 16-bit format that a type of scales is.
Format words_of(ScaleType type) {
  return type == ScaleType::fp16 ? Format::fp16 : Format::bf16;
}

}  // namespace

const float* dynamic_map() {
  static const std::array<float, 256> map = make_dynamic_map();
  return map.data();
}

ScaleType scale_type_named(const char* function, const std::string& name, Format format) {
  const ScaleType own = format == Format::mxfp4 ? ScaleType::e8m0 : ScaleType::fp32;
  if (name.empty()) return own;
  const auto found = std::find(kScaleTypes.begin(), kScaleTypes.end(), name);
  check(found != kScaleTypes.end(), function, ": scale_dtype=\"", name,
        "\" is not known; use \"fp32\", \"fp16\" or \"bf16\"");
  const auto type = static_cast<ScaleType>(found - kScaleTypes.begin());
  check((type == ScaleType::e8m0) == (own == ScaleType::e8m0), function, ": scale_dtype=\"", name,
        "\" does not go with format=\"", format_info(format).name,
        "\"; mxfp4 has \"e8m0\", the others \"fp32\", \"fp16\" or \"bf16\"");
  return type;
}

const char* scale_type_name(ScaleType type) { return kScaleTypes[static_cast<size_t>(type)]; }

void store_scales(PackedMatrix& m, const float* scales) {
  const int64_t count = std::ssize(m.scales) / bytes_of(m.scale_type);
  switch (m.scale_type) {
    case ScaleType::fp32:
      if (count && static_cast<const void*>(m.scales.data()) != scales)
        std::memcpy(m.scales.data(), scales, m.scales.size());
      return;
    case ScaleType::fp16:
    case ScaleType::bf16:
      return kernels().from_float32({words_of(m.scale_type), scales,
                                     reinterpret_cast<uint16_t*>(m.scales.data()), 0, count});
    case ScaleType::e8m0:  // 2^-127 has the exponent 0 of small floats
      for (int64_t i = 0; i < count; ++i)
        m.scales[i] = static_cast<uint8_t>(std::bit_cast<uint32_t>(scales[i]) >> 23);
      return;
    case ScaleType::dynamic8: return quantize_scales(m, scales);
  }
}

std::vector<float> read_scales(const PackedMatrix& m) {
  const int64_t count = std::ssize(m.scales) / bytes_of(m.scale_type);
  std::vector<float> scales(count, 0.0f);
  switch (m.scale_type) {
    case ScaleType::fp32:
      if (count) std::memcpy(scales.data(), m.scales.data(), m.scales.size());
      break;
    case ScaleType::fp16:
    case ScaleType::bf16:
      kernels().to_float32({words_of(m.scale_type),
                            reinterpret_cast<const uint16_t*>(m.scales.data()), scales.data(), 0,
                            count});
      break;
    case ScaleType::e8m0:
      for (int64_t i = 0; i < count; ++i) scales[i] = std::ldexp(1.0f, m.scales[i] - 127);
      break;
    case ScaleType::dynamic8:
      for_scales(m, 0, m.rows * m.groups, [&, i = int64_t{0}](int64_t at) mutable {
        const float level = dynamic_map()[m.scales[at]] * m.scale_scales[i++ / kScaleBlock];
        scales[at] = level + m.scale_offset;
      });
  }
  return scales;
}

}  // namespace lowbit::ops
