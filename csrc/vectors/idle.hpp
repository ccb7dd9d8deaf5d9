// Objects that tasks borrow: as many as threads need at once.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace lowbit::vectors {

template <class T>
class Idle {
 public:
  explicit Idle(std::function<std::unique_ptr<T>()> make) : make_(std::move(make)) {}

  template <class Use>
  void with(Use&& use) {
    std::unique_ptr<T> object = borrow();
    use(*object);
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(object));
  }

 private:
  std::unique_ptr<T> borrow() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return make_();
    std::unique_ptr<T> object = std::move(idle_.back());
    idle_.pop_back();
    return object;
  }

  std::function<std::unique_ptr<T>()> make_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> idle_;
};

}  // namespace lowbit::vectors
