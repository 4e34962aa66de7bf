// The emulated CUDA kernels as a backend; in builds without them, no_emu.cpp stands in.
#include "engine/backend.h"

namespace rook {

#define ROOK_EMU_OP(op, Args) .op = emu::op,
#define ROOK_EMU_WORKSPACE(op, Args) .op##_workspace = emu::op##_workspace,

const Backend* emu_backend() {
  static const Backend backend{
      .name = "emu",
      .device = Device::emu,
      .runtime = &emu::runtime(),
      ROOK_OP_LIST(ROOK_EMU_OP) ROOK_WORKSPACE_LIST(ROOK_EMU_WORKSPACE).conv_rows = emu::conv_rows};
  return &backend;
}

#undef ROOK_EMU_OP
#undef ROOK_EMU_WORKSPACE

}  // namespace rook
