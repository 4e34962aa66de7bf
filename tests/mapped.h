// Memory that tests give to operations of any device: on a GPU it is host memory that the GPU reads and writes through
// the same pointers, so that a test is written once.
#pragma once

#include <cstddef>
#include <vector>

namespace rook::test {

// Set by tests/gpu.cpp while operations of a GPU are tested; otherwise the ordinary heap.
struct MappedMemory {
  void* (*allocate)(std::size_t bytes) = nullptr;
  void (*release)(void* memory) = nullptr;
};
inline MappedMemory& mapped_memory() {
  static MappedMemory memory;
  return memory;
}

template <class T>
struct MappedAllocator {
  using value_type = T;
  MappedAllocator() = default;
  template <class U>
  MappedAllocator(const MappedAllocator<U>&) {}  // NOLINT: allocators convert into each other

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    return static_cast<T*>(mapped_memory().allocate ? mapped_memory().allocate(bytes) : ::operator new(bytes));
  }
  void deallocate(T* memory, std::size_t) {
    mapped_memory().release ? mapped_memory().release(memory) : ::operator delete(memory);
  }
  bool operator==(const MappedAllocator&) const = default;
};

template <class T>
using Mapped = std::vector<T, MappedAllocator<T>>;

}  // namespace rook::test
