// Names of kernels from the addresses of their functions.
#pragma once

#include <string>

namespace rook::emu::machine {

// Demangled, from the symbol table of the program or library that holds it; "at 0x..." when that has none.
std::string kernel_name(const void* function);

// For executed_kernels().
void note_executed(const void* function);

}  // namespace rook::emu::machine
