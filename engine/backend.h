// The kernels of one device as a table of functions, so that ops and the executor are written once for all of them.
#pragma once

#include <span>
#include <string_view>

#include "kernels/conv.h"
#include "kernels/ops.h"

namespace rook {

struct Backend {
  std::string_view name;  // "cpu", "ref"
  Device device = Device::cpu;

#define ROOK_OP_POINTER(op, Args) void (*op)(const Args&, Stream);
  ROOK_OP_LIST(ROOK_OP_POINTER)
#undef ROOK_OP_POINTER
  std::size_t (*yolo_loss_workspace)(const YoloLoss&);
  std::span<const ConvRow> (*conv_rows)();
};

const Backend& cpu_backend();
const Backend& ref_backend();  // naive and slow: for comparisons node by node

// By name as `--device` takes it: "auto", "cpu", "ref". Throws Error naming what there is.
const Backend& find_backend(std::string_view name);

// Whether bf16 arithmetic is native on this CPU (AVX512-BF16 or AMX), and so the faster compute type.
bool cpu_has_bf16();

}  // namespace rook
