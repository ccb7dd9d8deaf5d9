// A temporary file that the caller has opened, written and read at any place by any thread.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>

namespace lowbit::vectors {

class SpillFile {
 public:
  explicit SpillFile(int descriptor) : descriptor_(descriptor) {}

  // Room for so many bytes behind everything else; where it begins.
  int64_t reserve(int64_t bytes) { return end_.fetch_add(bytes); }
  int64_t bytes() const { return end_.load(); }

  void write(const void* data, int64_t bytes, int64_t place) const {
    const auto* from = static_cast<const char*>(data);
    whole(bytes, "writing", [&](int64_t done) {
      return pwrite(descriptor_, from + done, static_cast<size_t>(bytes - done), place + done);
    });
  }
  void read(void* data, int64_t bytes, int64_t place) const {
    auto* to = static_cast<char*>(data);
    whole(bytes, "reading", [&](int64_t done) {
      return pread(descriptor_, to + done, static_cast<size_t>(bytes - done), place + done);
    });
  }

 private:
  // Signals interrupt calls, and large ones end early.
  template <class Move>
  static void whole(int64_t bytes, const char* doing, Move&& move) {
    for (int64_t done = 0; done < bytes;) {
      const auto moved = move(done);
      if (moved < 0 && errno == EINTR) continue;
      if (moved <= 0)
        throw std::system_error(moved < 0 ? errno : EIO, std::generic_category(),
                                std::string("WordVectors.train: ") + doing +
                                    " the temporary file of co-occurrences");
      done += moved;
    }
  }

  const int descriptor_;
  std::atomic<int64_t> end_{0};
};

}  // namespace lowbit::vectors
