// The C function of every operation of kernels/ops.h: an operation that rook.h forgets does not compile here.
#include "bench/c_api/call.h"

using rook::c_api::Call;
using rook::c_api::guarded;
using rook::c_api::required;

#define ROOK_DEFINE_OP(op, Args)                                                     \
  rook_status rook_##op(const rook_##op##_args* args, rook_stream stream) {          \
    return guarded([&] {                                                             \
      Call call(stream);                                                             \
      call.backend().op(convert(call, required(args, #op ": args")), call.stream()); \
    });                                                                              \
  }
ROOK_OP_LIST(ROOK_DEFINE_OP)
#undef ROOK_DEFINE_OP

#define ROOK_DEFINE_WORKSPACE(op, Args)                                                                \
  rook_status rook_##op##_workspace(const rook_##op##_args* args, rook_stream stream, size_t* bytes) { \
    return guarded([&] {                                                                               \
      Call call(stream);                                                                               \
      required(bytes, #op "_workspace: bytes");                                                        \
      *bytes = call.backend().op##_workspace(convert(call, required(args, #op "_workspace: args")));   \
    });                                                                                                \
  }
ROOK_WORKSPACE_LIST(ROOK_DEFINE_WORKSPACE)
#undef ROOK_DEFINE_WORKSPACE
