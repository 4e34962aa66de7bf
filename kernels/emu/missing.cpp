// Temporary: operations that have no kernel yet.
#include "base/error.h"
#include "kernels/conv.h"
#include "kernels/ops.h"

namespace rook::emu {

#define ROOK_MISSING(name, Args)                         \
  __attribute__((weak)) void name(const Args&, Stream) { \
    throw Error(#name ": no kernel yet");                \
  }
#define ROOK_MISSING_WORKSPACE(name, Args)                          \
  __attribute__((weak)) std::size_t name##_workspace(const Args&) { \
    return 0;                                                       \
  }
ROOK_OP_LIST(ROOK_MISSING)
ROOK_WORKSPACE_LIST(ROOK_MISSING_WORKSPACE)

std::span<const ConvRow> conv_rows();
__attribute__((weak)) std::span<const ConvRow> conv_rows() {
  return {};
}

}  // namespace rook::emu
