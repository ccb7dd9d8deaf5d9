#include "core/memory.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <new>

#include "core/views.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <sys/mman.h>
#define LOWBIT_HAVE_MMAP 1
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace lowbit {
namespace {

constexpr int64_t kLine = 64;         // alignment, and the room in front of a block for its size
constexpr int64_t kLarge = 64 << 10;  // smaller blocks are left to the C++ library
constexpr int64_t kPage = 64 << 10;  // a multiple of every system's
constexpr int64_t kHugePage = 2 << 20;

// A range of addresses, reserved once; the system gives it memory at the first touch. Blocks lie at
// the lowest address where they fit, so what was ever touched is little more than what was ever in
// use at once, in whatever sizes.
class Arena {
 public:
  Arena() {
#if LOWBIT_HAVE_MMAP
    for (int64_t size = int64_t{1} << 38; size >= int64_t{1} << 30 && !base_; size /= 4) {
      void* range = mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (range == MAP_FAILED) continue;
      base_ = static_cast<char*>(range);
      size_ = size;
      free_[0] = size;
#ifdef MADV_HUGEPAGE
      madvise(range, static_cast<size_t>(size), MADV_HUGEPAGE);
#endif
    }
#endif
  }

  bool holds(const void* block) const { return block >= base_ && block < base_ + size_; }

  // Null when there is no room.
  void* take(int64_t bytes) {
    const std::lock_guard lock(mutex);
    const auto found = std::find_if(free_.begin(), free_.end(),
                                    [&](const auto& range) { return range.second >= bytes; });
    if (found == free_.end()) return nullptr;
    const auto [begin, size] = *found;
    free_.erase(found);
    if (size > bytes) free_[begin + bytes] = size - bytes;
    used_ += bytes;
    touched_ = std::max(touched_, begin + bytes);
    return base_ + begin;
  }

  void give(void* block, int64_t bytes) {
    const std::lock_guard lock(mutex);
    int64_t begin = static_cast<char*>(block) - base_, size = bytes;
    used_ -= bytes;
    auto after = free_.lower_bound(begin);
    if (after != free_.end() && after->first == begin + size) {
      size += after->second;
      after = free_.erase(after);
    }
    if (after != free_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == begin) {
        begin = before->first;
        size += before->second;
        free_.erase(before);
      }
    }
    free_[begin] = size;
    if (touched_ - used_ > kKeptBytes) drop_top(used_ + kKeptBytes);
  }

  void trim() {
    const std::lock_guard lock(mutex);
    drop_top(0);
#if LOWBIT_HAVE_MMAP
    for (const auto& [begin, size] : free_) {
      const int64_t first = round_up(begin, kPage);
      const int64_t end = std::min(begin + size, touched_) / kPage * kPage;
      if (first < end) madvise(base_ + first, static_cast<size_t>(end - first), MADV_DONTNEED);
    }
#endif
  }

  std::mutex mutex;

 private:
  // Gives back what is free at the top, but for the first `most` bytes of the range.
  void drop_top(int64_t most) {
#if LOWBIT_HAVE_MMAP
    if (free_.empty()) return;
    const int64_t begin = round_up(std::max(most, std::prev(free_.end())->first), kHugePage);
    if (begin >= touched_) return;
    madvise(base_ + begin, static_cast<size_t>(touched_ - begin), MADV_DONTNEED);
    touched_ = begin;
#else
    (void)most;
#endif
  }

  char* base_ = nullptr;
  int64_t size_ = 0;
  std::map<int64_t, int64_t> free_;  // begin -> size; no two that touch
  int64_t used_ = 0, touched_ = 0;
};

// Never destroyed: arrays may outlive everything else.
Arena& arena() {
  static Arena* made = [] {
    auto* fresh = new Arena;
#if LOWBIT_HAVE_MMAP
    // So that a child process never finds the lock held by a thread that it does not have.
    pthread_atfork([] { arena().mutex.lock(); }, [] { arena().mutex.unlock(); },
                   [] { arena().mutex.unlock(); });
#endif
    return fresh;
  }();
  return *made;
}

int64_t& size_of(void* block) { return *static_cast<int64_t*>(block); }

}  // namespace

void* take_memory(int64_t bytes) {
  const int64_t whole = round_up(std::max<int64_t>(bytes, 1), kLine) + kLine;
  void* block = whole >= kLarge ? arena().take(whole) : nullptr;
  if (!block) block = ::operator new(static_cast<size_t>(whole), std::align_val_t{kLine});
  size_of(block) = whole;
  return static_cast<char*>(block) + kLine;
}

void give_memory(void* memory) noexcept {
  if (!memory) return;
  void* block = static_cast<char*>(memory) - kLine;
  if (size_of(block) >= kLarge && arena().holds(block))
    arena().give(block, size_of(block));
  else
    ::operator delete(block, std::align_val_t{kLine});
}

void trim_memory() noexcept {
  arena().trim();
#ifdef __GLIBC__
  malloc_trim(0);  // NumPy's arrays: glibc keeps what is free below the last block in use
#endif
}

}  // namespace lowbit
