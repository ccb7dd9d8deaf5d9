#include "tokenizers/token_index.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace lowbit::tokenizers {

TokenIndex::TokenIndex(StringTable tokens) : tokens_(std::move(tokens)) {
  const size_t slots = std::bit_ceil(std::max<size_t>(16, 2 * size()));
  slots_.resize(slots);
  mask_ = slots - 1;
  shift_ = 64 - std::countr_zero(slots);
  for (uint32_t number = 0; number < size(); ++number) {
    const std::string_view token = text(number);
    const uint64_t hash = hash_bytes(token);
    const auto tag = static_cast<uint32_t>(hash >> 16);
    size_t at = hash >> shift_;
    while (slots_[at].number != kNone &&
           (slots_[at].tag != tag || text(slots_[at].number) != token))
      at = (at + 1) & mask_;
    equal_ = equal_ || slots_[at].number != kNone;
    slots_[at] = {number, tag};
  }
}

}  // namespace lowbit::tokenizers
