#include "kernels/emu/fiber.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace rook::emu::machine {
namespace {

// Sanitizers make frames several times as large.
constexpr std::size_t kStackBytes = (sanitizer::kAddress || sanitizer::kThread ? 512 : 128) * 1024;

void enter(boost::context::detail::transfer_t transfer) {
  sanitizer::ignore_begin();
  Fiber& self = *static_cast<Fiber*>(transfer.data)->target;
  arrive(transfer);
  self.body(self);
}

}  // namespace

void make_fiber(Fiber& fiber, int number) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* memory =
      mmap(nullptr, page + kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    throw Error(fmt::format("emulator: no memory for the stack of a thread: {}", std::strerror(errno)));
  mprotect(memory, page, PROT_NONE);
  fiber.stack = static_cast<std::byte*>(memory) + page;
  // Stacks that all end at the same offset within a page would compete for the same lines of the cache.
  fiber.stack_bytes = kStackBytes - static_cast<std::size_t>(number % 13) * 320;
  fiber.context = boost::context::detail::make_fcontext(static_cast<std::byte*>(fiber.stack) + fiber.stack_bytes,
                                                        fiber.stack_bytes, enter);
#ifdef ROOK_EMU_TSAN
  fiber.sanitizer_thread = __tsan_create_fiber(0);
#endif
}

void adopt_this_thread([[maybe_unused]] Fiber& home) {
#ifdef ROOK_EMU_TSAN
  home.sanitizer_thread = __tsan_get_current_fiber();
#endif
}

}  // namespace rook::emu::machine
