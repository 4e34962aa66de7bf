// Contexts with stacks of their own, switched in a few nanoseconds (Boost.Context).
#pragma once

#include <cstddef>

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

// Returns when somebody switches to `from`.
void switch_fiber(Fiber& from, Fiber& to);

}  // namespace rook::emu::machine
