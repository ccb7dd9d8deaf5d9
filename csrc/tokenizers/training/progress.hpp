// How trainers say how far they are, and how they are stopped.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>

namespace lowbit::tokenizers {

// Called now and then with the stage, what is done of it and the total; false stops the training.
using Progress = std::function<bool(const char* stage, int64_t done, int64_t total)>;

struct TrainingStopped : std::runtime_error {
  TrainingStopped() : std::runtime_error("training was stopped by its progress callback") {}
};

inline void report(const Progress& progress, const char* stage, int64_t done, int64_t total) {
  if (progress && !progress(stage, done, total)) throw TrainingStopped();
}

}  // namespace lowbit::tokenizers
