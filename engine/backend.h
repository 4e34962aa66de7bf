// The kernels of one device as a table of functions, so that ops and the executor are written once for all of them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "kernels/conv.h"
#include "kernels/ops.h"
#include "kernels/runtime.h"

namespace rook {

struct Backend {
  std::string_view name;  // "cpu", "ref", "cuda", "emu"
  Device device = Device::cpu;
  const DeviceRuntime* runtime = nullptr;

#define ROOK_OP_POINTER(op, Args) void (*op)(const Args&, Stream);
  ROOK_OP_LIST(ROOK_OP_POINTER)
#undef ROOK_OP_POINTER
#define ROOK_WORKSPACE_POINTER(op, Args) std::size_t (*op##_workspace)(const Args&);
  ROOK_WORKSPACE_LIST(ROOK_WORKSPACE_POINTER)
#undef ROOK_WORKSPACE_POINTER
  std::span<const ConvRow> (*conv_rows)();
};

const Backend& cpu_backend();
const Backend& ref_backend();   // naive and slow: for comparisons node by node
const Backend* cuda_backend();  // null when rook was built without CUDA
const Backend* emu_backend();   // the CUDA kernels run on the host, slowly; null when rook was built without them

// By name as `--device` takes it: "auto" (a GPU that can be used, else the CPU), "cpu", "ref", "cuda", "emu". Throws
// Error that says what there is, or why the device cannot be used.
const Backend& find_backend(std::string_view name);

// Why "auto" does not take a GPU, in one line; empty where it does, or where rook was built without CUDA.
std::string why_no_gpu();

// Whether bf16 arithmetic is native on this CPU (AVX512-BF16 or AMX), and so the faster compute type.
bool cpu_has_bf16();

// In which type to compute, by its name or "auto": bf16 in training where the device computes in it, f32 elsewhere. f16
// is for inference on a GPU. Throws Error that begins with "precision".
DType compute_dtype(std::string_view precision, const Backend& backend, bool training);

}  // namespace rook
