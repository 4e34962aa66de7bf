// One block of memory for one role on one device, aligned for vector access. Grows only when asked; never moves in
// between.
#pragma once

#include <cstddef>
#include <utility>

#include "kernels/runtime.h"

namespace rook {

inline constexpr std::size_t kArenaAlign = 64;

constexpr std::size_t arena_aligned(std::size_t bytes) {
  return (bytes + kArenaAlign - 1) / kArenaAlign * kArenaAlign;
}

class Arena {
 public:
  explicit Arena(const DeviceRuntime& runtime = cpu::runtime()) : runtime_(&runtime) {}
  Arena(Arena&& other) noexcept { swap(other); }
  Arena& operator=(Arena&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Arena();

  // At least `bytes`, zeroed; what was there before is lost when it grows. Throws Error when memory is short.
  void reserve(std::size_t bytes);
  std::byte* data() const { return memory_; }
  std::size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(memory_);
  }
  const DeviceRuntime& runtime() const { return *runtime_; }

 private:
  void swap(Arena& other) noexcept {
    std::swap(runtime_, other.runtime_);
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
  }

  const DeviceRuntime* runtime_ = &cpu::runtime();
  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

// Places behind each other in one block: arrays of different kinds share an arena so.
class Places {
 public:
  std::size_t add(std::size_t bytes) {
    const std::size_t place = arena_aligned(bytes_);
    bytes_ = place + bytes;
    return place;
  }
  std::size_t bytes() const { return arena_aligned(bytes_); }

 private:
  std::size_t bytes_ = 0;
};

}  // namespace rook
