// Activations in kernels: a switch per vector of values, not a kernel per activation.
#pragma once

#include "kernels/activation_math.h"
#include "kernels/device.cuh"

namespace rook::ROOK_GPU {

// v = act(v).
template <int N>
__device__ __forceinline__ void activate(Activation activation, float (&v)[N]) {
  visit_activation(activation, [&](auto tag) {
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = activation_of<decltype(tag)::value, FloatMath>(v[i]);
  });
}

// gradient = gradient * act'(v).
template <int N>
__device__ __forceinline__ void multiply_by_slope(Activation activation, const float (&v)[N], float (&gradient)[N]) {
  visit_activation(activation, [&](auto tag) {
#pragma unroll
    for (int i = 0; i < N; ++i) gradient[i] *= activation_slope<decltype(tag)::value, FloatMath>(v[i]);
  });
}

}  // namespace rook::ROOK_GPU
