// The rows of the table of convolutions that are CUDA kernels of ours; each is defined in the file it is named after
// (kernels/conv_NAME.cu).
#pragma once

#include "kernels/conv.h"
#include "kernels/target.h"

namespace rook::ROOK_GPU {

const ConvRow& depthwise_row();  // a filter sees one channel
const ConvRow& first_row();      // up to 4 input channels: fprop and wgrad
const ConvRow& direct_row();     // everything, in f32 arithmetic

}  // namespace rook::ROOK_GPU
