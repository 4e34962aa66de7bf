#include "kernels/emu/arena.h"

#include <fmt/core.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/sanitizers.h"

namespace rook::emu::machine {
namespace {

// Unused bytes around every object, which AddressSanitizer reports an access to.
constexpr std::size_t kGuard = 1024;
constexpr std::size_t kStaticRoom = 4 * kMaxStaticShared;  // objects, guards, alignment
constexpr std::size_t kRoom = kGuard + kMaxShared + kGuard + kStaticRoom;

std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

Arena::Arena() {
  void* memory = mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Error("emulator: no memory for the shared memory of a block");
  memory_ = static_cast<std::byte*>(memory);
  dynamic_ = memory_ + kGuard;
  static_ = dynamic_ + kMaxShared;
  sanitizer::poison(memory_, kRoom);
}

Arena::~Arena() {
  sanitizer::unpoison(memory_, kRoom);
  munmap(memory_, kRoom);
}

void Arena::start_block(std::size_t dynamic_bytes) {
  if (static_used_ > 0) sanitizer::poison(static_, static_used_);
  objects_.clear();
  static_used_ = static_bytes_ = 0;
  if (dynamic_bytes != dynamic_bytes_) {
    sanitizer::poison(dynamic_, kMaxShared);
    sanitizer::unpoison(dynamic_, dynamic_bytes);
    dynamic_bytes_ = dynamic_bytes;
  }
  if (dynamic_bytes > 0) std::memset(dynamic_, kPoison, dynamic_bytes);
}

void* Arena::object(const void* tag, std::size_t bytes, std::size_t alignment) {
  for (const Object& known : objects_)
    if (known.tag == tag) return known.data;
  static_bytes_ += bytes;
  if (static_bytes_ > kMaxStaticShared || static_bytes_ + dynamic_bytes_ > kMaxShared)
    throw Error(
        fmt::format("{} bytes of static and {} bytes of dynamic shared memory; a block may have {} static ones "
                    "and {} in all",
                    static_bytes_, dynamic_bytes_, kMaxStaticShared, kMaxShared));
  if (dynamic_bytes_ < kAskedShared && static_bytes_ + dynamic_bytes_ > kUnaskedShared && dynamic_bytes_ > 0)
    throw Error(fmt::format(
        "{} bytes of static and {} bytes of dynamic shared memory are more than the {} that a block may have "
        "without cudaFuncAttributeMaxDynamicSharedMemorySize, and a launch asks from {} dynamic ones on",
        static_bytes_, dynamic_bytes_, kUnaskedShared, kAskedShared));
  const std::size_t begin = round_up(static_used_ + kGuard, alignment < 128 ? 128 : alignment);
  const std::size_t end = begin + bytes;
  if (end + kGuard > kStaticRoom) throw Error("too many separate objects in shared memory; put them into one struct");
  static_used_ = end;
  std::byte* data = static_ + begin;
  sanitizer::unpoison(data, bytes);
  std::memset(data, kPoison, bytes);
  objects_.push_back({tag, data});
  return data;
}

bool Arena::contains(const void* pointer, std::size_t bytes) const {
  const auto* first = static_cast<const std::byte*>(pointer);
  return first >= dynamic_ && first + bytes <= memory_ + kRoom;
}

}  // namespace rook::emu::machine
