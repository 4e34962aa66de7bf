// One block of memory for one role, aligned for vector access. Grows only when asked; never moves in between.
#pragma once

#include <cstddef>
#include <memory>

namespace rook {

inline constexpr std::size_t kArenaAlign = 64;

constexpr std::size_t arena_aligned(std::size_t bytes) {
  return (bytes + kArenaAlign - 1) / kArenaAlign * kArenaAlign;
}

class Arena {
 public:
  Arena() = default;
  explicit Arena(std::size_t bytes) { reserve(bytes); }

  // At least `bytes`, zeroed; what was there before is lost when it grows. Throws Error when memory is short.
  void reserve(std::size_t bytes);
  std::byte* data() const { return memory_.get(); }
  std::size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(memory_.get());
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte[], Free> memory_;
  std::size_t bytes_ = 0;
};

// Bytes that can still be had without swapping: MemAvailable and the control group's limit, the smaller.
std::size_t available_memory();

}  // namespace rook
