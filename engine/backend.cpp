#include "engine/backend.h"

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/names.h"

namespace rook {

#define ROOK_CPU_OP(op, Args) .op = cpu::op,
#define ROOK_REF_OP(op, Args) .op = ref::op,
#define ROOK_CPU_WORKSPACE(op, Args) .op##_workspace = cpu::op##_workspace,
#define ROOK_REF_WORKSPACE(op, Args) .op##_workspace = ref::op##_workspace,

const Backend& cpu_backend() {
  static const Backend backend{
      .name = "cpu",
      .device = Device::cpu,
      .runtime = &cpu::runtime(),
      ROOK_OP_LIST(ROOK_CPU_OP) ROOK_WORKSPACE_LIST(ROOK_CPU_WORKSPACE).conv_rows = cpu::conv_rows};
  return backend;
}

const Backend& ref_backend() {
  static const Backend backend{
      .name = "ref",
      .device = Device::cpu,
      .runtime = &cpu::runtime(),
      ROOK_OP_LIST(ROOK_REF_OP) ROOK_WORKSPACE_LIST(ROOK_REF_WORKSPACE).conv_rows = ref::conv_rows};
  return backend;
}

namespace {

const Backend& usable(const Backend* backend, std::string_view name) {
  if (!backend)
    throw Error(fmt::format("device '{}': this rook was built without it; `./run build` builds all that it can", name));
  if (const std::string reason = backend->runtime->unusable(); !reason.empty())
    throw Error(fmt::format("device '{}': {}; take --device cpu", name, reason));
  return *backend;
}

}  // namespace

std::string why_no_gpu() {
  return cuda_backend() ? cuda_backend()->runtime->unusable() : std::string();
}

const Backend& find_backend(std::string_view name) {
  if (name == "auto") return cuda_backend() && why_no_gpu().empty() ? *cuda_backend() : cpu_backend();
  if (name == "cpu") return cpu_backend();
  if (name == "ref") return ref_backend();
  if (name == "cuda") return usable(cuda_backend(), name);
  if (name == "emu") return usable(emu_backend(), name);
  throw Error(fmt::format("device '{}' is not known; there are: auto, cpu, cuda, emu, ref", name));
}

bool cpu_has_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

DType compute_dtype(std::string_view precision, const Backend& backend, bool training) {
  if (precision == "auto") {
    const bool native = backend.device == Device::cuda || (backend.name == "cpu" && cpu_has_bf16());
    return training && native ? DType::bf16 : DType::f32;
  }
  const auto type = dtype_from_name(precision);
  if (!type || (*type != DType::f32 && *type != DType::bf16 && *type != DType::f16))
    throw Error(fmt::format("precision {}: is not one of auto, f32, bf16, f16", precision));
  if (*type == DType::f16 && (training || backend.device == Device::cpu))
    throw Error("precision f16: is for inference on a GPU; take bf16 or f32");
  return *type;
}

}  // namespace rook
