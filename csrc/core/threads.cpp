#include "core/threads.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "core/error.hpp"

namespace lowbit {
namespace {

constexpr int kMaxThreads = 1024;

int from_environment(const char* name) {
  const char* text = std::getenv(name);
  if (!text || !*text) return 0;
  const long value = std::strtol(text, nullptr, 10);  // OMP_NUM_THREADS may be a list: "4,2"
  return value >= 1 && value <= kMaxThreads ? static_cast<int>(value) : 0;
}

// CPUs' worth of time per period that the cgroup allows, or 0 when there is no limit.
int cgroup_quota() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0)
    return std::max(1, static_cast<int>(std::stod(quota) / period + 0.5));
  std::ifstream v1("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double microseconds = 0;
  if (v1 >> microseconds && v1_period >> period && microseconds > 0 && period > 0)
    return std::max(1, static_cast<int>(microseconds / period + 0.5));
  return 0;
}

int affinity_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

class Pool {
 public:
  explicit Pool(int threads)
      : threads_(threads), shares_(std::make_unique<Share[]>(static_cast<size_t>(threads))) {}

  int threads() const { return threads_; }

  void run(int64_t count, int64_t grain, detail::ChunkFunction function, void* context) {
    start_workers();
    function_ = function;
    context_ = context;
    count_ = count;
    grain_ = grain;
    error_ = nullptr;
    const int64_t chunks = (count + grain - 1) / grain;
    for (int64_t t = 0; t < threads_; ++t) {
      shares_[t].next.store(chunks * t / threads_ * grain, std::memory_order_relaxed);
      shares_[t].end = std::min(count, chunks * (t + 1) / threads_ * grain);
    }
    active_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      epoch_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    take_chunks(0);
    while (active_.load(std::memory_order_acquire) != 0) relax();
    if (error_) std::rethrow_exception(error_);
  }

  std::mutex caller;  // held by the one thread that may submit work

 private:
  // About 30 microseconds of spinning: the gap between two operations of one forward pass.
  static constexpr int kSpins = 2000;

  void start_workers() {
    while (static_cast<int>(workers_.size()) < threads_ - 1) {
      const uint64_t seen = epoch_.load(std::memory_order_relaxed);
      const int self = static_cast<int>(workers_.size()) + 1;
      workers_.emplace_back([this, seen, self] { work(seen, self); });
      workers_.back().detach();
    }
  }

  void work(uint64_t seen, int self) {
    for (;;) {
      for (int spin = 0; spin < kSpins && epoch_.load(std::memory_order_acquire) == seen; ++spin)
        relax();
      if (epoch_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return epoch_.load(std::memory_order_acquire) != seen; });
      }
      seen = epoch_.load(std::memory_order_acquire);
      if (count_ < 0) return release();
      take_chunks(self);
      release();
    }
  }

  void release() { active_.fetch_sub(1, std::memory_order_release); }

  // One thread's part of the chunks. It begins with its own and then helps the others: operations
  // whose chunks follow the rows find these in the cache of the core that computed them before.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  void take_chunks(int self) {
    for (int i = 0; i < threads_; ++i) take_from(shares_[(self + i) % threads_]);
  }

  void take_from(Share& share) {
    for (;;) {
      const int64_t begin = share.next.fetch_add(grain_, std::memory_order_relaxed);
      if (begin >= share.end) return;
      try {
        function_(context_, begin, std::min(begin + grain_, share.end));
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!error_) error_ = std::current_exception();
        for (int t = 0; t < threads_; ++t) shares_[t].next.store(count_, std::memory_order_relaxed);
      }
    }
  }

 public:
  // Ends the workers of a pool that is being replaced; the caller holds `caller`.
  void stop() {
    if (workers_.empty()) return;
    count_ = -1;
    active_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      epoch_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    while (active_.load(std::memory_order_acquire) != 0) relax();
  }

 private:
  const int threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> epoch_{0};
  std::unique_ptr<Share[]> shares_;
  std::atomic<int> active_{0};
  detail::ChunkFunction function_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  std::exception_ptr error_;
};

// Never destroyed: workers may still sleep in it while the process exits.
std::atomic<Pool*> g_pool{nullptr};
std::mutex* g_create = new std::mutex;
thread_local bool t_inside = false;  // a chunk that calls parallel_for runs the inner one inline

void forget_pool_after_fork() {
  // The child has none of the parent's threads, and a lock may be held by one that is gone.
  g_pool.store(nullptr, std::memory_order_relaxed);
  g_create = new std::mutex;
  t_inside = false;
}

Pool& pool() {
  if (Pool* existing = g_pool.load(std::memory_order_acquire)) return *existing;
  static const bool registered =
      (pthread_atfork(nullptr, nullptr, forget_pool_after_fork), true);
  (void)registered;
  std::lock_guard<std::mutex> lock(*g_create);
  if (!g_pool.load()) g_pool.store(new Pool(default_num_threads()), std::memory_order_release);
  return *g_pool.load();
}

struct Inside {
  Inside() { t_inside = true; }
  ~Inside() { t_inside = false; }
};

struct AlignedFree {
  void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};

}  // namespace

int default_num_threads() {
  if (const int asked = from_environment("LOWBIT_NUM_THREADS")) return asked;
  if (const int asked = from_environment("OMP_NUM_THREADS")) return asked;
  const int quota = cgroup_quota();
  const int allowed = affinity_count();
  return std::min(kMaxThreads, quota > 0 ? std::min(quota, allowed) : allowed);
}

int get_num_threads() { return pool().threads(); }

void set_num_threads(int count) {
  check(count >= 1 && count <= kMaxThreads, "set_num_threads: count=", count,
        " is not between 1 and ", kMaxThreads);
  Pool& old = pool();
  if (old.threads() == count) return;
  std::lock_guard<std::mutex> lock(old.caller);
  old.stop();
  // The old pool is kept: another thread may be about to try its lock. It holds no threads now.
  g_pool.store(new Pool(count), std::memory_order_release);
}

namespace detail {

void run_chunks(int64_t count, int64_t grain, ChunkFunction function, void* context) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  if (count > grain && !t_inside) {
    Pool& workers = pool();
    if (workers.threads() > 1 && workers.caller.try_lock()) {
      std::lock_guard<std::mutex> lock(workers.caller, std::adopt_lock);
      if (&workers == g_pool.load(std::memory_order_acquire)) {
        Inside inside;
        workers.run(count, grain, function, context);
        return;
      }
    }
  }
  for (int64_t begin = 0; begin < count; begin += grain)
    function(context, begin, std::min(begin + grain, count));
}

}  // namespace detail

void* scratch_bytes(int64_t bytes) {
  thread_local std::unique_ptr<void, AlignedFree> memory;
  thread_local int64_t capacity = 0;
  if (bytes > capacity) {
    memory.reset();
    capacity = 0;
    memory.reset(::operator new(static_cast<size_t>(bytes), std::align_val_t{64}));
    capacity = bytes;
  }
  return memory.get();
}

}  // namespace lowbit
