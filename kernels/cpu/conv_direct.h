// Convolution by the plain sum, f32, with sums of several pixels by several channels in registers. It stands in where
// oneDNN's kernels for this processor are weak and Winograd has nothing: 3x3 with stride 2 above all.
#pragma once

#include "kernels/conv.h"

namespace rook::cpu::direct {

// Whether there is code for a problem, and the row of the table: it supports those of them for which it is the fastest.
bool can_run(const ConvProblem& problem);
const ConvRow& conv_row();

// wgrad.
std::size_t wgrad_bytes(const ConvProblem& problem);
void run_wgrad(const ConvProblem& problem, const ConvArgs& args);

}  // namespace rook::cpu::direct
