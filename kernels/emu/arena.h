// The shared memory of the block that runs: objects that are asked for by type, and the dynamic part of the launch.
#pragma once

#include <cstddef>
#include <vector>

namespace rook::emu::machine {

class Arena {
 public:
  Arena();
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // A new block: all contents are poison again, static objects are forgotten.
  void start_block(std::size_t dynamic_bytes);
  // Throws Error above kMaxStaticShared, or above kMaxShared together with the dynamic part.
  void* object(const void* tag, std::size_t bytes, std::size_t alignment);
  void* dynamic() const { return dynamic_; }
  bool contains(const void* pointer, std::size_t bytes) const;

 private:
  struct Object {
    const void* tag;
    std::byte* data;
  };

  std::byte* memory_;
  std::byte* dynamic_;
  std::byte* static_;
  std::size_t dynamic_bytes_ = 0;
  std::size_t static_used_ = 0;   // with guards
  std::size_t static_bytes_ = 0;  // without
  std::vector<Object> objects_;
};

}  // namespace rook::emu::machine
