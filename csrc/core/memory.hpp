// Memory for results and intermediates.
//
// Large blocks that are given back are kept for the next results: the operating system hands out
// fresh pages one by one and zeroes each at its first touch, which took a tenth of a training step.
// At most kKeptBytes stay beyond what is in use, until trim_memory().
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

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

// Vectors of such memory; what resize() adds has no value yet.
template <class T>
struct KeptAllocator {
  using value_type = T;

  KeptAllocator() = default;
  template <class U>
  explicit(false) KeptAllocator(const KeptAllocator<U>&) noexcept {}
  T* allocate(size_t count) {
    return static_cast<T*>(take_memory(static_cast<int64_t>(count * sizeof(T))));
  }
  void deallocate(T* memory, size_t) noexcept { give_memory(memory); }
  template <class U>
  void construct(U* at) noexcept {
    ::new (static_cast<void*>(at)) U;
  }
  template <class U, class... Arguments>
  void construct(U* at, Arguments&&... arguments) {
    ::new (static_cast<void*>(at)) U(std::forward<Arguments>(arguments)...);
  }
  friend bool operator==(const KeptAllocator&, const KeptAllocator&) { return true; }
};
template <class T>
using KeptVector = std::vector<T, KeptAllocator<T>>;

}  // namespace lowbit
