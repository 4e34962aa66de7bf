#include "engine/backend.h"

#include <fmt/format.h>

#include "base/error.h"

namespace rook {

#define ROOK_CPU_OP(op, Args) .op = cpu::op,
#define ROOK_REF_OP(op, Args) .op = ref::op,

const Backend& cpu_backend() {
  static const Backend backend{.name = "cpu",
                               .device = Device::cpu,
                               ROOK_OP_LIST(ROOK_CPU_OP).yolo_loss_workspace = cpu::yolo_loss_workspace,
                               .conv_rows = cpu::conv_rows};
  return backend;
}

const Backend& ref_backend() {
  static const Backend backend{.name = "ref",
                               .device = Device::cpu,
                               ROOK_OP_LIST(ROOK_REF_OP).yolo_loss_workspace = ref::yolo_loss_workspace,
                               .conv_rows = ref::conv_rows};
  return backend;
}

#undef ROOK_CPU_OP
#undef ROOK_REF_OP

const Backend& find_backend(std::string_view name) {
  if (name == "auto" || name == "cpu") return cpu_backend();
  if (name == "ref") return ref_backend();
  throw Error(fmt::format("device '{}' is not known; there are: auto, cpu, ref", name));
}

bool cpu_has_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace rook
