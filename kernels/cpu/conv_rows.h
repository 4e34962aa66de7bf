// The parts of the CPU's table of convolutions.
#pragma once

#include <array>
#include <cstddef>

#include "kernels/conv.h"

namespace rook::cpu {

// Those that want dense tensors, in order of preference. Each has another in conv_sliced.h, for slices.
inline constexpr std::size_t kDenseConvRows = 4;
const std::array<ConvRow, kDenseConvRows>& dense_conv_rows();

}  // namespace rook::cpu
