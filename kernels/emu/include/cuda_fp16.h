// The emulator's stand-in for CUDA's header of this name.
#pragma once

#include "kernels/emu/fp16.h"
