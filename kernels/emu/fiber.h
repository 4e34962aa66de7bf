// Contexts with stacks of their own, switched in a few nanoseconds (Boost.Context).
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

#include "kernels/emu/sanitizers.h"

namespace rook::emu::machine {

class Machine;

struct Fiber {
  void* context = nullptr;         // where it goes on
  void (*body)(Fiber&) = nullptr;  // what it runs, never returning
  Machine* machine = nullptr;
  Fiber* next = nullptr;    // in a list of free ones
  Fiber* target = nullptr;  // whom it switched to last
  void* stack = nullptr;    // lowest address that may be used
  std::size_t stack_bytes = 0;
  void* sanitizer_stack = nullptr;   // AddressSanitizer's, while it is switched out
  void* sanitizer_thread = nullptr;  // ThreadSanitizer's
};

// The number-th fiber of a machine, with a guard page below its stack. Runs fiber.body when first switched to.
void make_fiber(Fiber& fiber, int number);

// `home` stands for the OS thread that calls; before it first switches away.
void adopt_this_thread(Fiber& home);

// First thing after a switch, on the new stack: the fiber that it came from can be continued where it left.
inline void arrive(boost::context::detail::transfer_t transfer) {
  Fiber& from = *static_cast<Fiber*>(transfer.data);
  from.context = transfer.fctx;
#ifdef ROOK_EMU_ASAN
  const void* stack = nullptr;
  __sanitizer_finish_switch_fiber(from.target->sanitizer_stack, &stack, &from.stack_bytes);
  from.stack = const_cast<void*>(stack);
#endif
}

// Returns when somebody switches to `from`. Inline, as is all that waits: the processor predicts none of the returns
// that follow a change of the stack.
[[gnu::always_inline]] inline void switch_fiber(Fiber& from, Fiber& to) {
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
