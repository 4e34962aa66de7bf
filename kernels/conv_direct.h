// The parts of the row "direct": fprop and dgrad gather (conv_gather.cu), wgrad (conv_wgrad.cu).
#pragma once

#include <cstddef>

#include "kernels/conv.h"
#include "kernels/target.h"

namespace rook::ROOK_GPU {

void direct_gather(const ConvProblem& problem, const ConvArgs& args, Stream stream);

std::size_t direct_wgrad_workspace(const ConvProblem& problem);
void direct_wgrad(const ConvProblem& problem, const ConvArgs& args, Stream stream);

}  // namespace rook::ROOK_GPU
