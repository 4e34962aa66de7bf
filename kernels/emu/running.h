// The machine whose block runs on this OS thread.
#pragma once

#include "kernels/emu/block.h"

namespace rook::emu::machine {

extern constinit thread_local Machine* running;  // nullptr outside of kernels

[[noreturn]] void fail_outside(const char* operation);

// Throws Error when no kernel runs here; `operation` is what was called.
inline Machine& this_machine(const char* operation) {
  if (running == nullptr) fail_outside(operation);
  return *running;
}

}  // namespace rook::emu::machine
