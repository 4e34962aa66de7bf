// The host as a device of kernels/runtime.h: its memory, no streams.
#include "kernels/runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <new>

#include "base/error.h"

namespace rook::cpu {
namespace {

constexpr std::align_val_t kAlignment{256};

// The number after `key` in a file of "key value" lines, or of one number when key is empty; 0 when it is not there.
std::size_t number_in(const char* file, const std::string& key) {
  std::ifstream in(file);
  std::string word;
  while (in >> word) {
    if (key.empty()) return word == "max" ? 0 : std::strtoull(word.c_str(), nullptr, 10);
    if (word == key && in >> word) return std::strtoull(word.c_str(), nullptr, 10);
  }
  return 0;
}

// What can still be had without swapping: MemAvailable and the control group's limit, the smaller.
std::size_t free_bytes() {
  std::size_t available = number_in("/proc/meminfo", "MemAvailable:") * 1024;
  if (available == 0) available = std::numeric_limits<std::size_t>::max();
  if (const std::size_t limit = number_in("/sys/fs/cgroup/memory.max", ""))
    available = std::min(available, limit - std::min(limit, number_in("/sys/fs/cgroup/memory.current", "")));
  return available;
}

void* allocate(std::size_t bytes) {
  void* memory = ::operator new[](bytes, kAlignment, std::nothrow);
  if (!memory)
    throw Error(
        fmt::format("out of memory: {:.1f} MB are not to be had; take a smaller batch or picture", bytes / 1e6));
  std::memset(memory, 0, bytes);
  return memory;
}

void release(void* memory) {
  ::operator delete[](memory, kAlignment);
}

double now() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void no_graphs() {
  throw Error("the CPU records no graphs");
}

}  // namespace

const DeviceRuntime& runtime() {
  static const DeviceRuntime table{
      .host_memory = true,
      .unusable = [] { return std::string(); },
      .describe = [] { return std::string("cpu"); },
      .allocate = allocate,
      .release = release,
      .allocate_pinned = allocate,
      .release_pinned = release,
      .free_bytes = free_bytes,
      .create_stream = [] { return Stream{}; },
      .destroy_stream = [](Stream) {},
      .synchronize = [](Stream) {},
      .copy =
          [](void* to, const void* from, std::size_t bytes, Stream) {
            if (bytes > 0) std::memcpy(to, from, bytes);  // an empty array may lie nowhere
          },
      .clear =
          [](void* memory, std::size_t bytes, Stream) {
            if (bytes > 0) std::memset(memory, 0, bytes);
          },
      .begin_recording = [](Stream) { no_graphs(); },
      .end_recording = [](Stream) -> RecordedGraph { no_graphs(); },
      .replay = [](RecordedGraph, Stream) { no_graphs(); },
      .destroy_graph = [](RecordedGraph) {},
      .create_event = [] { return Event{new double(0)}; },
      .destroy_event = [](Event event) { delete static_cast<double*>(event.handle); },
      .record = [](Event event, Stream) { *static_cast<double*>(event.handle) = now(); },
      .wait = [](Event) {},
      .milliseconds =
          [](Event from, Event to) {
            return static_cast<float>(*static_cast<double*>(to.handle) - *static_cast<double*>(from.handle));
          }};
  return table;
}

}  // namespace rook::cpu
