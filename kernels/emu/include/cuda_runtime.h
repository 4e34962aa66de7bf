// The emulator's stand-in for CUDA's header of this name: keywords that mean nothing here, the thread's place, types,
// warp and block operations, launches, memory. Everything is in namespace rook::emu, where the kernels are too.
#pragma once

#include "kernels/emu/atomics.h"
#include "kernels/emu/collectives.h"
#include "kernels/emu/intrinsics.h"
#include "kernels/emu/keywords.h"
#include "kernels/emu/launch.h"
#include "kernels/emu/machine.h"
#include "kernels/emu/runtime.h"
#include "kernels/emu/vector_types.h"
