// Memory for results and intermediates.
//
// Large blocks that are given back are kept for the next results: the operating system hands out
// fresh pages one by one and zeroes each at its first touch, which took a tenth of a training step.
// At most kKeptBytes stay beyond what is in use, until trim_memory().
#pragma once

#include <cstdint>
#include <memory>

namespace lowbit {

constexpr int64_t kKeptBytes = int64_t{512} << 20;

// Uninitialized, aligned to 64 bytes. std::bad_alloc when there is none.
void* take_memory(int64_t bytes);
void give_memory(void* memory) noexcept;  // null is fine
// Gives what is kept and free back to the operating system.
void trim_memory() noexcept;

struct GiveMemory {
  void operator()(void* memory) const noexcept { give_memory(memory); }
};
template <class T>
using Memory = std::unique_ptr<T[], GiveMemory>;

template <class T>
Memory<T> take(int64_t count) {
  return Memory<T>(static_cast<T*>(take_memory(count * static_cast<int64_t>(sizeof(T)))));
}

}  // namespace lowbit
