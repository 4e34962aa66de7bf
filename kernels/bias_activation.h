// y = act(y + bias) in place: what is left to do after a convolution of a library that fuses neither.
#pragma once

#include "kernels/types.h"

namespace rook {
namespace cuda {
// y: [N,H,W,C]; bias: [C] f32, or null for none. Throws Error for other types than f32, bf16 and f16.
void bias_activation(const Tensor& y, const float* bias, Activation activation, Stream stream);
}  // namespace cuda
namespace emu {
void bias_activation(const Tensor& y, const float* bias, Activation activation, Stream stream);
}
}  // namespace rook
