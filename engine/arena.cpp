#include "engine/arena.h"

#include <fmt/format.h>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <new>
#include <string>

#include "base/error.h"

namespace rook {

void Arena::Free::operator()(std::byte* memory) const {
  ::operator delete[](memory, std::align_val_t{kArenaAlign});
}

void Arena::reserve(std::size_t bytes) {
  if (bytes <= bytes_) return;
  memory_.reset();
  bytes_ = 0;
  void* memory = ::operator new[](bytes, std::align_val_t{kArenaAlign}, std::nothrow);
  if (!memory)
    throw Error(
        fmt::format("out of memory: {:.1f} MB are not to be had; take a smaller batch or picture", bytes / 1e6));
  std::memset(memory, 0, bytes);
  memory_.reset(static_cast<std::byte*>(memory));
  bytes_ = bytes;
}

namespace {

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

}  // namespace

std::size_t available_memory() {
  std::size_t available = number_in("/proc/meminfo", "MemAvailable:") * 1024;
  if (available == 0) available = std::numeric_limits<std::size_t>::max();
  if (const std::size_t limit = number_in("/sys/fs/cgroup/memory.max", ""))
    available = std::min(available, limit - std::min(limit, number_in("/sys/fs/cgroup/memory.current", "")));
  return available;
}

}  // namespace rook
