// What the stand-ins of CUDA's functions are built on: the place of the running CUDA thread, meetings of the threads of
// a block or a warp, shared memory, asynchronous copies, launches. Every CUDA thread is a fiber; the threads of a block
// take turns on one OS thread and change only where they have to wait for each other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "kernels/emu/vector_types.h"

namespace rook::emu {

extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;
inline constexpr int warpSize = 32;

namespace machine {

// The bytes of memory that nobody has written yet: NaN in every float format, -1 as an integer.
inline constexpr int kPoison = 0xff;

inline constexpr std::size_t kMaxStaticShared = 48 * 1024;
inline constexpr std::size_t kMaxShared = 227 * 1024;
// Dynamic shared memory from which a launch has to ask, as kernels/launch.cuh does. CUDA wants it for more than 48 KiB
// of both kinds together.
inline constexpr std::size_t kAskedShared = 32 * 1024;
inline constexpr std::size_t kUnaskedShared = 48 * 1024;

// An operation that threads meet at: what is called, and where.
struct Site {
  const char* operation;
  SourceLocation where;
};

struct BlockVote {
  unsigned yes, arrived;
};

// Waits until all threads of the block that have not exited are here; tells how many came and said yes. Throws Error
// when some wait at another barrier.
BlockVote meet_block(const Site& site, bool predicate);

// Waits until all threads of `mask` that have not exited are here with the same mask. The last one runs
// complete(lanes that came, payload of each lane), which may write into the payloads.
using Complete = void (*)(unsigned lanes, void* const* payloads);
enum class MemoryOrder : bool { relaxed, ordered };
void meet_warp(const Site& site, unsigned mask, void* payload, Complete complete,
               MemoryOrder order = MemoryOrder::relaxed);

// This thread's number in its warp.
extern constinit thread_local unsigned current_lane;
inline unsigned lane() {
  return current_lane;
}

// The block's object for `tag`, made (poisoned) when first asked for.
void* static_shared(const void* tag, std::size_t bytes, std::size_t alignment);
void* dynamic_shared();

// Whether the bytes lie in this block's shared memory.
bool is_shared(const void* pointer, std::size_t bytes);

// cp.async: nothing arrives before the wait, until then the destination is poison.
void copy_async(void* shared, const void* global, int bytes, bool valid);
void copy_async_commit();
void copy_async_wait(unsigned pending_groups);

// Orders memory between threads that also communicate by atomics.
void fence();

// One kernel launch; `call` runs the kernel's function with its arguments, as the current thread.
struct Launch {
  const void* kernel = nullptr;  // address of its function
  dim3 grid, block;
  std::size_t dynamic_shared = 0;
  void (*call)(const void* arguments) = nullptr;
  const void* arguments = nullptr;
};

// Runs the grid to its end. Throws Error: limits exceeded, threads that wait in different places, whatever a thread
// threw; then the other threads are unwound and the machine is as new.
void run(const Launch& launch);

}  // namespace machine
}  // namespace rook::emu
