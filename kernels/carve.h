// Arrays one after another in a workspace: the same function that lays them out also says how many bytes they take.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rook {

class Carver {
 public:
  // Null: only the size is wanted. `base` may have any alignment.
  explicit Carver(void* base) : base_(static_cast<std::byte*>(base)) {
    if (base_ != nullptr) base_ += (kLine - reinterpret_cast<std::uintptr_t>(base_) % kLine) % kLine;
  }

  template <class T>
  T* take(std::int64_t count) {
    const std::size_t offset = used_;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + kLine - 1) / kLine * kLine;
    return base_ != nullptr ? reinterpret_cast<T*>(base_ + offset) : nullptr;
  }
  std::size_t bytes() const { return used_ + kLine; }

 private:
  static constexpr std::size_t kLine = 128;
  std::byte* base_;
  std::size_t used_ = 0;
};

}  // namespace rook
