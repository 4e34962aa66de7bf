// Convolution of tensors that are slices of wider ones, whose pixels lie further apart than they have channels: they
// are copied, and one of the rows that want dense tensors computes. The network's own tensors are dense.
#pragma once

#include "kernels/conv.h"

namespace rook::cpu::sliced {

const ConvRow& conv_row();

}  // namespace rook::cpu::sliced
