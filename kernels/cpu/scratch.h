// Scratch memory of the CPU kernels: a stack per thread that only grows, so that nothing is allocated once every
// operation has run with its largest shape.
//
//   ScratchScope scratch;
//   float* sums = scratch.floats(count);  // not initialised, aligned to 64 bytes, good until the end of the scope
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace rook::cpu {

class ScratchStack {
 public:
  static ScratchStack& of_this_thread() {
    static thread_local ScratchStack stack;
    return stack;
  }

  std::byte* take(std::size_t bytes) {
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    // A chunk that is too small is left behind, so that pointers into it stay good; release() merges them.
    if (chunks_.empty() || used_ + bytes > chunks_.back().size) {
      chunks_.push_back(make_chunk(bytes));
      used_ = 0;
    }
    std::byte* const place = chunks_.back().aligned + used_;
    used_ += bytes;
    total_ += bytes;
    peak_ = std::max(peak_, total_);
    return place;
  }

  struct Mark {
    std::size_t chunks, used, total;
  };
  Mark mark() const { return {chunks_.size(), used_, total_}; }
  void release(Mark mark) {
    total_ = mark.total;
    if (total_ == 0 && chunks_.size() > 1) {
      chunks_.clear();
      chunks_.push_back(make_chunk(peak_));
      used_ = 0;
    } else if (chunks_.size() == mark.chunks) {
      used_ = mark.used;
    }
    // Otherwise an outer scope has pointers into an older chunk; the newest stays in use until that scope ends.
  }

 private:
  static constexpr std::size_t kAlignment = 64;
  // Not so small that every larger picture asks anew: Winograd's F(4x4) takes 3 MB for 512 channels in vectors of
  // AVX-512. Memory that nobody touches costs nothing. (The sanitizer sees writes behind the end only where that is the
  // end of what was asked for.)
#ifdef __SANITIZE_ADDRESS__
  static constexpr std::size_t kSmallest = 0;
#else
  static constexpr std::size_t kSmallest = 4 << 20;
#endif
  struct Chunk {
    std::unique_ptr<std::byte[]> memory;
    std::byte* aligned;
    std::size_t size;
  };
  static Chunk make_chunk(std::size_t bytes) {
    const std::size_t size = std::max(bytes, kSmallest);
    std::unique_ptr<std::byte[]> memory(new std::byte[size + kAlignment]);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.get());
    std::byte* const aligned = memory.get() + (kAlignment - address % kAlignment) % kAlignment;
    return {std::move(memory), aligned, size};
  }

  std::vector<Chunk> chunks_;
  std::size_t used_ = 0;   // bytes of the last chunk
  std::size_t total_ = 0;  // bytes that are taken, in all chunks
  std::size_t peak_ = 0;   // the most that total_ has been
};

class ScratchScope {
 public:
  ScratchScope() : stack_(ScratchStack::of_this_thread()), mark_(stack_.mark()) {}
  ~ScratchScope() { stack_.release(mark_); }
  ScratchScope(const ScratchScope&) = delete;
  ScratchScope& operator=(const ScratchScope&) = delete;

  // `count` objects of a trivial type, not initialised.
  template <class T>
  T* take(std::int64_t count) {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
    return reinterpret_cast<T*>(stack_.take(static_cast<std::size_t>(count) * sizeof(T)));
  }
  float* floats(std::int64_t count) { return take<float>(count); }
  double* doubles(std::int64_t count) { return take<double>(count); }

 private:
  ScratchStack& stack_;
  ScratchStack::Mark mark_;
};

}  // namespace rook::cpu
