// The machine whose block runs on this OS thread.
#pragma once

#include "kernels/emu/block.h"

namespace rook::emu::machine {

// Throws Error when no kernel runs here; `operation` is what was called.
Machine& this_machine(const char* operation);

}  // namespace rook::emu::machine
