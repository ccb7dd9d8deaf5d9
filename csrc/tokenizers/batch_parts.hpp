// The ids of a batch from several threads: private to the tokenizer.
#pragma once

#include <algorithm>
#include <vector>

#include "core/threads.hpp"
#include "tokenizers/id_buffer.hpp"
#include "tokenizers/tokenizer.hpp"

namespace lowbit::tokenizers {

// The texts of a batch, whose ids lie one behind the other in the buffer of the thread that came
// to them. Those of the first thread's own parts are in place from the start; the others are copied
// behind them.
class BatchParts {
 public:
  // Of texts of so many bytes in all.
  void prepare(size_t threads, size_t parts, size_t bytes) {
    whole_.room(bytes / kBytesPerId);
    buffers_ = std::vector<Buffer>(threads);
    for (size_t i = 1; i < threads; ++i) buffers_[i].room(bytes / threads / kBytesPerId);
    parts_.resize(parts);
  }
  IdBuffer& begin(size_t thread, size_t part) {
    const bool in_place = thread == 0 && part == in_place_;
    in_place_ += in_place;
    IdBuffer& buffer = in_place ? whole_ : buffers_[thread];
    parts_[part] = {&buffer, buffer.size(), {}};
    return buffer;
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
    const auto more = static_cast<size_t>(out.indptr.back()) - whole_.size();
    copy_behind(whole_.room(more) - whole_.size());
    out.ids = whole_.release();
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
  void copy_behind(int32_t* ids) const {
    const auto first = static_cast<int64_t>(in_place_);
    parallel_for(static_cast<int64_t>(parts_.size()) - first, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = first + begin; i < first + end; ++i) {
        const Part& part = parts_[static_cast<size_t>(i)];
        const auto from = part.buffer->ids().subspan(part.begin, part.ends.back() - part.begin);
        std::copy(from.begin(), from.end(), ids + part.place);
      }
    });
  }

  // Apart, as threads write their sizes all the time.
  struct alignas(64) Buffer : IdBuffer {};

  Buffer whole_;  // of the parts before in_place_, and in the end of all
  size_t in_place_ = 0;
  std::vector<Buffer> buffers_;
  std::vector<Part> parts_;
};

}  // namespace lowbit::tokenizers
