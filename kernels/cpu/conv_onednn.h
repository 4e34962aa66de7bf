// Convolution by oneDNN, of dense tensors.
#pragma once

#include "kernels/conv.h"

namespace rook::cpu::onednn {

const ConvRow& conv_row();

}  // namespace rook::cpu::onednn
