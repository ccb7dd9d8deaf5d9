#include "tokenizers/shared_words.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

namespace lowbit::tokenizers {

void SharedWords::make() {
  const size_t lines = std::clamp(std::bit_ceil(bytes_ / kBytesPerLine), kMinLines, kMaxLines);
  shift_ = 64 - std::countr_zero(lines);
  lines_ = take<Line>(static_cast<int64_t>(lines));
  std::uninitialized_value_construct_n(lines_.get(), lines);
  pool_ = take<int32_t>(kPool);
  made_.store(true, std::memory_order_release);
}

std::optional<std::span<const int32_t>> SharedWords::find(const WordKey& key,
                                                          std::string_view word) const {
  if (!made_.load(std::memory_order_acquire)) return std::nullopt;
  for (const Slot& slot : line_of(key).slots) {
    const uint64_t high = slot.high.load(std::memory_order_acquire);
    const uint64_t count = high >> kCountShift;
    if ((high ^ key.high) << 4 != 0 || slot.low != key.low) continue;
    if (count != kPooled) return std::span(slot.ids, count);
    const int32_t* pooled = pool_.get() + slot.ids[0];
    const auto many = static_cast<size_t>(slot.ids[1]);
    if (key.high == WordKey::kLong &&
        (static_cast<size_t>(slot.ids[2]) != word.size() ||
         std::memcmp(pooled + many, word.data(), word.size()) != 0))
      continue;
    return std::span(pooled, many);
  }
  return std::nullopt;
}

void SharedWords::publish(const WordKey& key, std::string_view word,
                          std::span<const int32_t> ids) {
  std::call_once(once_, [this] { make(); });
  for (Slot& slot : line_of(key).slots) {
    uint64_t free = 0;
    if (slot.high.load(std::memory_order_relaxed) != free ||
        !slot.high.compare_exchange_strong(free, kClaimed, std::memory_order_relaxed))
      continue;
    const bool pooled = key.high == WordKey::kLong || ids.size() > kMaxIds;
    // A slot that cannot be filled stays claimed, as the next words would find no room either.
    if (pooled && !pool(slot, key, word, ids)) return;
    if (!pooled) std::copy(ids.begin(), ids.end(), slot.ids);
    slot.low = key.low;
    slot.high.store(key.high | (pooled ? kPooled : ids.size()) << kCountShift,
                    std::memory_order_release);
    return;
  }
}

bool SharedWords::pool(Slot& slot, const WordKey& key, std::string_view word,
                       std::span<const int32_t> ids) {
  const size_t bytes = key.high == WordKey::kLong ? word.size() : 0;
  const size_t needed = ids.size() + (bytes + sizeof(int32_t) - 1) / sizeof(int32_t);
  const size_t place = pooled_.fetch_add(needed, std::memory_order_relaxed);
  if (place + needed > kPool) return false;
  std::copy(ids.begin(), ids.end(), pool_.get() + place);
  std::memcpy(pool_.get() + place + ids.size(), word.data(), bytes);
  slot.ids[0] = static_cast<int32_t>(place);
  slot.ids[1] = static_cast<int32_t>(ids.size());
  slot.ids[2] = static_cast<int32_t>(bytes);
  return true;
}

}  // namespace lowbit::tokenizers
