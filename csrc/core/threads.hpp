// A small thread pool: lazy, fork-safe, re-entrant, and sized by what this process may really use.
//
// OpenMP is not used: its pool hangs in a forked child and doubles beside the one torch brings.
// Work is handed out in chunks of `grain` items; which thread takes a chunk is not fixed, so a
// result must depend on the chunk alone. Every operation here gives the same bits for any number
// of threads because each output element is computed wholly inside one chunk.
#pragma once

#include <cstdint>
#include <type_traits>

namespace lowbit {

// From LOWBIT_NUM_THREADS, then OMP_NUM_THREADS, then the affinity mask and the cgroup quota.
int default_num_threads();
int get_num_threads();
void set_num_threads(int count);  // throws ArgumentError unless 1 <= count <= 1024

namespace detail {
using ChunkFunction = void (*)(void* context, int64_t begin, int64_t end);
void run_chunks(int64_t count, int64_t grain, ChunkFunction function, void* context);
}  // namespace detail

// Calls body(begin, end) for consecutive chunks that cover [0, count). Runs in the calling thread
// when there is one chunk, one thread, or when the pool is busy with another caller. `body` may
// throw: the first exception is rethrown here after all chunks have stopped.
template <class Body>
void parallel_for(int64_t count, int64_t grain, Body&& body) {
  detail::run_chunks(
      count, grain,
      [](void* context, int64_t begin, int64_t end) {
        (*static_cast<std::remove_reference_t<Body>*>(context))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// Memory of the calling thread for the length of one kernel call, 64-byte aligned, kept between
// calls. A second request from the same thread invalidates the first.
void* scratch_bytes(int64_t bytes);
template <class T>
T* scratch(int64_t count) {
  return static_cast<T*>(scratch_bytes(count * static_cast<int64_t>(sizeof(T))));
}

}  // namespace lowbit
