// An array of host memory that copies to and from a device need not wait for.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include "kernels/runtime.h"

namespace rook {

template <class T>
class Pinned {
 public:
  static_assert(std::is_trivially_copyable_v<T>);

  Pinned(const DeviceRuntime& runtime, std::size_t count)
      : runtime_(&runtime), memory_(static_cast<T*>(runtime.allocate_pinned(count * sizeof(T)))), count_(count) {}
  Pinned(Pinned&& other) noexcept
      : runtime_(other.runtime_),
        memory_(std::exchange(other.memory_, nullptr)),
        count_(std::exchange(other.count_, 0)) {}
  Pinned& operator=(Pinned&& other) noexcept {
    std::swap(runtime_, other.runtime_);
    std::swap(memory_, other.memory_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~Pinned() {
    if (memory_) runtime_->release_pinned(memory_);
  }

  T* data() const { return memory_; }
  std::size_t size() const { return count_; }
  std::size_t bytes() const { return count_ * sizeof(T); }
  T& operator[](std::size_t i) const { return memory_[i]; }
  std::span<T> span() const { return {memory_, count_}; }

 private:
  const DeviceRuntime* runtime_;
  T* memory_;
  std::size_t count_;
};

}  // namespace rook
