#include "ops/convert.hpp"

#include "core/threads.hpp"
#include "ops/check.hpp"
#include "ops/dispatch.hpp"
#include "ops/formats.hpp"

namespace lowbit::ops {
namespace {

// Values of a task: a few microseconds of reading.
constexpr int64_t kConvertGrain = 32768;

Format words_of(const char* function, const std::string& name) {
  const FormatInfo& info = format_named(function, name);
  check(info.bits == 16, function, ": format=\"", name,
        "\" is not one of 16-bit floats; use \"bf16\" or \"fp16\"");
  return info.format;
}

}  // namespace

void to_float32(const std::string& name, VectorView<const uint16_t> words,
                VectorView<float> values) {
  const Format format = words_of("to_float32", name);
  check(values.size == words.size, "to_float32: out has ", values.size, " values, expected ",
        words.size);
  Trace trace("to_float32", name.c_str(), "n", words.size);
  parallel_for(words.size, kConvertGrain, [&](int64_t begin, int64_t end) {
    kernels().to_float32({format, words.data, values.data, begin, end});
  });
}

void from_float32(const std::string& name, VectorView<const float> values,
                  VectorView<uint16_t> words) {
  const Format format = words_of("from_float32", name);
  check(values.size == words.size, "from_float32: out has ", words.size, " values, expected ",
        values.size);
  Trace trace("from_float32", name.c_str(), "n", values.size);
  parallel_for(values.size, kConvertGrain, [&](int64_t begin, int64_t end) {
    kernels().from_float32({format, values.data, words.data, begin, end});
  });
}

}  // namespace lowbit::ops
