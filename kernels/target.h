// The namespace that the CUDA sources define their functions in: rook::cuda. The emulator's stand-in of this file,
// which its builds find first, says rook::emu, so that a program can hold both.
#pragma once

#define ROOK_GPU cuda
