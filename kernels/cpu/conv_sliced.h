// Convolution of tensors that are slices of wider ones, whose pixels lie further apart than they have channels: they
// are copied, and a row that wants dense tensors computes. The network's own tensors are dense.
#pragma once

#include <array>

#include "kernels/cpu/conv_rows.h"

namespace rook::cpu::sliced {

// "sliced-" and the name of the row that computes, one for each of dense_conv_rows().
const std::array<ConvRow, kDenseConvRows>& conv_rows();

}  // namespace rook::cpu::sliced
