// Devices and memory.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <unordered_map>

#include "kernels/emu/control.h"
#include "kernels/emu/launch.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/runtime.h"
#include "kernels/emu/runtime_state.h"
#include "kernels/emu/sanitizers.h"

namespace rook::emu {
namespace {

constexpr std::size_t kAlignment = 256;

// All blocks that were given out, with their sizes.
class Blocks {
 public:
  // nullptr beyond the limit or the machine's memory.
  void* allocate(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes > available()) return nullptr;
    const std::size_t room = std::max<std::size_t>(bytes, 1);
    void* pointer = ::operator new (room, std::align_val_t{kAlignment}, std::nothrow);
    if (pointer == nullptr) return nullptr;
    std::memset(pointer, machine::kPoison, room);
    sizes_.emplace(pointer, bytes);
    used_ += bytes;
    ++count_;
    return pointer;
  }
  bool free(void* pointer) {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(pointer);
    if (found == sizes_.end()) return false;
    used_ -= found->second;
    sizes_.erase(found);
    ::operator delete (pointer, std::align_val_t{kAlignment});
    return true;
  }
  void set_limit(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    limit_ = bytes;
  }
  std::size_t total() const {
    if (limit_ > 0) return limit_;
    return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }
  void info(std::size_t* free, std::size_t* all) {
    const std::lock_guard lock(mutex_);
    *all = total();
    *free = available();
  }
  std::int64_t count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::size_t available() const { return total() > used_ ? total() - used_ : 0; }

  std::mutex mutex_;
  std::unordered_map<void*, std::size_t> sizes_;
  std::size_t used_ = 0, limit_ = 0;
  std::int64_t count_ = 0;
};

Blocks& device_memory() {
  static auto* const blocks = new Blocks;  // destructors of other static objects may still free theirs
  return *blocks;
}
Blocks& pinned_memory() {
  static auto* const blocks = new Blocks;
  return *blocks;
}

cudaError_t allocate(Blocks& blocks, void** pointer, std::size_t bytes) {
  if (pointer == nullptr) return machine::report(cudaErrorInvalidValue);
  *pointer = nullptr;
  if (machine::forbids_unrelated_calls()) return machine::report(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  *pointer = blocks.allocate(bytes);
  return *pointer != nullptr ? cudaSuccess : machine::report(cudaErrorMemoryAllocation);
}

cudaError_t release(Blocks& blocks, void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  if (machine::forbids_unrelated_calls()) return machine::report(cudaErrorStreamCaptureUnsupported);
  machine::finish_null_stream();  // freeing waits for the device
  return blocks.free(pointer) ? cudaSuccess : machine::report(cudaErrorInvalidValue);
}

}  // namespace

void set_memory_limit(std::size_t bytes) {
  device_memory().set_limit(bytes);
}

std::int64_t allocations() {
  return device_memory().count();
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return allocate(device_memory(), pointer, bytes);
}
cudaError_t cudaFree(void* pointer) {
  return release(device_memory(), pointer);
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return allocate(pinned_memory(), pointer, bytes);
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  return allocate(pinned_memory(), pointer, bytes);
}
cudaError_t cudaFreeHost(void* pointer) {
  return release(pinned_memory(), pointer);
}
cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned) {
  return pointer != nullptr && bytes > 0 ? cudaSuccess : machine::report(cudaErrorInvalidValue);
}
cudaError_t cudaHostUnregister(void* pointer) {
  return pointer != nullptr ? cudaSuccess : machine::report(cudaErrorInvalidValue);
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  device_memory().info(free, total);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind) {
  if (machine::forbids_unrelated_calls()) return machine::report(cudaErrorStreamCaptureUnsupported);
  machine::finish_null_stream();
  if (bytes > 0) std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  machine::enqueue(stream, [=] {
    if (bytes > 0) std::memmove(to, from, bytes);
  });
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return machine::report(cudaErrorInvalidValue);
  machine::enqueue(stream, [=] {
    for (std::size_t row = 0; row < height; ++row)
      std::memcpy(static_cast<std::byte*>(to) + row * to_pitch, static_cast<const std::byte*>(from) + row * from_pitch,
                  width);
  });
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  if (machine::forbids_unrelated_calls()) return machine::report(cudaErrorStreamCaptureUnsupported);
  return cudaMemsetAsync(to, value, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  machine::enqueue(stream, [=] {
    if (bytes > 0) std::memset(to, value, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : machine::report(cudaErrorInvalidDevice);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return machine::report(cudaErrorInvalidDevice);
  *properties = {};
  std::strncpy(properties->name, "emulator", sizeof(properties->name) - 1);
  std::size_t free = 0;
  cudaMemGetInfo(&free, &properties->totalGlobalMem);
  properties->sharedMemPerBlock = machine::kMaxStaticShared;
  properties->sharedMemPerBlockOptin = machine::kMaxShared;
  properties->sharedMemPerMultiprocessor = machine::kMaxShared + 1024;
  properties->major = 9;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->multiProcessorCount = threads();
  properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
  properties->l2CacheSize = 1 << 20;
  properties->memoryBusWidth = 64;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return machine::report(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = 32;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = threads();
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = 1 << 20;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(machine::kMaxShared);
      return cudaSuccess;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
      *value = 1'000'000;  // kHz
      return cudaSuccess;
  }
  return machine::report(cudaErrorInvalidValue);
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

}  // namespace rook::emu
