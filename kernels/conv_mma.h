// Convolution on tensor cores: implicit GEMM with mma.sync, bf16 or f16 in, f32 sums (kernels/conv_mma_plan.h says how
// a problem is cut). Rows of the conv table: "mma", which chooses its tile by rule, and one per tile.
#pragma once

#include <span>

#include "kernels/conv.h"

namespace rook {
namespace cuda {
std::span<const ConvRow> conv_mma_rows();
}
namespace emu {
std::span<const ConvRow> conv_mma_rows();
}
}  // namespace rook
