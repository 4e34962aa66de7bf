// Weights as kernels want them: f32 [K,R,S,C/groups] rounded to a storage type and rearranged so that what a kernel
// writes next to each other (filters in fprop, channels in dgrad) lies next to each other.
#pragma once

#include <cstddef>

#include "kernels/conv.h"
#include "kernels/target.h"

namespace rook::ROOK_GPU {

// Rows of packed weights are padded with zeros to whole 16 bytes of 16-bit elements.
constexpr int packed_pitch(int count) {
  return (count + 7) / 8 * 8;
}

// fprop: [groups, R, S, C/groups, packed_pitch(K/groups)]; dgrad: [groups, R, S, K/groups, packed_pitch(C/groups)].
std::size_t packed_gemm_bytes(const ConvProblem& problem, DType type);
void pack_gemm(const ConvProblem& problem, const float* weights, DType type, void* packed, Stream stream);

// Depthwise (C/groups is 1): [R, S, packed_pitch(K)].
std::size_t packed_depthwise_bytes(const ConvProblem& problem, DType type);
void pack_depthwise(const ConvProblem& problem, const float* weights, DType type, void* packed, Stream stream);

}  // namespace rook::ROOK_GPU
