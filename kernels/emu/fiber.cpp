#include "kernels/emu/fiber.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "kernels/emu/sanitizers.h"

namespace rook::emu::machine {
namespace {

using boost::context::detail::transfer_t;

// Sanitizers make frames several times as large.
constexpr std::size_t kStackBytes = (sanitizer::kAddress || sanitizer::kThread ? 512 : 128) * 1024;

// First thing after a switch, on the new stack: `from` can be continued where it left.
void arrive(transfer_t transfer) {
  Fiber& from = *static_cast<Fiber*>(transfer.data);
  from.context = transfer.fctx;
#ifdef ROOK_EMU_ASAN
  const void* stack = nullptr;
  __sanitizer_finish_switch_fiber(from.target->sanitizer_stack, &stack, &from.stack_bytes);
  from.stack = const_cast<void*>(stack);
#endif
}

void enter(transfer_t transfer) {
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

void switch_fiber(Fiber& from, Fiber& to) {
  from.target = &to;
#ifdef ROOK_EMU_ASAN
  __sanitizer_start_switch_fiber(&from.sanitizer_stack, to.stack, to.stack_bytes);
#endif
#ifdef ROOK_EMU_TSAN
  __tsan_switch_to_fiber(to.sanitizer_thread, __tsan_switch_to_fiber_no_sync);
#endif
  arrive(boost::context::detail::jump_fcontext(to.context, &from));
}

}  // namespace rook::emu::machine
