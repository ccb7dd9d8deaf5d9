// The ids of a batch from several threads: private to the tokenizer.
#pragma once

#include <algorithm>
#include <vector>

#include "core/threads.hpp"
#include "tokenizers/id_buffer.hpp"
#include "tokenizers/tokenizer.hpp"

namespace lowbit::tokenizers {

// The texts of a batch, whose ids lie one behind the other in the buffer of the thread that came
// to them.
class BatchParts {
 public:
  // Of texts of so many bytes in all.
  void prepare(size_t threads, size_t parts, size_t bytes) {
    buffers_ = std::vector<Buffer>(threads);
    for (IdBuffer& ids : buffers_) ids.room(bytes / threads / kBytesPerId);
    parts_.resize(parts);
  }
  IdBuffer& begin(size_t thread, size_t part) {
    parts_[part] = {&buffers_[thread], buffers_[thread].size(), {}};
    return buffers_[thread];
  }
  void end_text(size_t part) { parts_[part].ends.push_back(parts_[part].buffer->size()); }

  Ragged join(size_t texts) {
    Ragged out;
    out.indptr.reserve(texts + 1);
    out.indptr.push_back(0);
    for (Part& part : parts_) {
      part.place = out.indptr.back();
      const int64_t base = part.place - static_cast<int64_t>(part.begin);
      for (const size_t end : part.ends) out.indptr.push_back(base + static_cast<int64_t>(end));
    }
    if (buffers_.size() == 1)
      out.ids = buffers_[0].release();
    else
      out.ids = gather(out.indptr.back());
    return out;
  }

 private:
  static constexpr size_t kBytesPerId = 3;  // a guess: buffers grow

  struct Part {
    const IdBuffer* buffer = nullptr;
    size_t begin = 0;
    std::vector<size_t> ends;
    int64_t place = 0;  // of its ids in the whole
  };

  // By all threads: fresh pages take longer than many an encoding.
  Memory<int32_t> gather(int64_t count) const {
    Memory<int32_t> ids = take<int32_t>(count);
    parallel_for(static_cast<int64_t>(parts_.size()), 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Part& part = parts_[static_cast<size_t>(i)];
        const auto from = part.buffer->ids().subspan(part.begin, part.ends.back() - part.begin);
        std::copy(from.begin(), from.end(), ids.get() + part.place);
      }
    });
    return ids;
  }

  // Apart, as threads write their sizes all the time.
  struct alignas(64) Buffer : IdBuffer {};

  std::vector<Buffer> buffers_;
  std::vector<Part> parts_;
};

}  // namespace lowbit::tokenizers
