// The emulator's stand-in for kernels/target.h: the same sources define their functions in rook::emu.
#pragma once

#define ROOK_GPU emu
