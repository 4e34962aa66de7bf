// The end of fprop and dgrad: from f32 sums of 4 neighbouring channels to what lies in memory.
#pragma once

#include "kernels/activation_math.h"
#include "kernels/conv_mma_tile.cuh"

namespace rook::ROOK_GPU::conv_mma {

// One activation for several values: a switch on an argument of the kernel, which all threads take alike.
template <Activation A, int N>
__device__ __forceinline__ void activate_as(float (&values)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) values[i] = activate(A, values[i]);
}
template <int N>
__device__ __forceinline__ void activate_all(Activation activation, float (&values)[N]) {
  switch (activation) {
    case Activation::linear:
      return;
    case Activation::leaky:
      return activate_as<Activation::leaky>(values);
    case Activation::relu:
      return activate_as<Activation::relu>(values);
    case Activation::logistic:
      return activate_as<Activation::logistic>(values);
    case Activation::mish:
      return activate_as<Activation::mish>(values);
    case Activation::swish:
      return activate_as<Activation::swish>(values);
    default:  // rarely met: shorter code instead of fewer branches
#pragma unroll
      for (int i = 0; i < N; ++i) values[i] = activate(activation, values[i]);
  }
}

struct PixelOutput {
  void* data = nullptr;  // [pixels, pitch], T or (wide) f32
  std::int64_t pitch = 0;
  int channels = 0;
  bool wide = false;
  bool vectors = false;         // 4 channels can be written at once
  const float* bias = nullptr;  // [channels] or null
  Activation activation = Activation::linear;
  Grad mode = Grad::overwrite;
};

// The bias of channels channel .. + N - 1, zero where there is none.
template <int N>
__device__ __forceinline__ void load_bias(const PixelOutput& output, int channel, float (&bias)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i)
    bias[i] = output.bias != nullptr && channel + i < output.channels ? output.bias[channel + i] : 0.0f;
}

// activation(sums + bias) to channels channel .. + N - 1 of a pixel.
template <class T, int N>
__device__ __forceinline__ void put_pixel(const PixelOutput& output, std::int64_t pixel, int channel,
                                          const float (&sums)[N], const float (&bias)[N]) {
  float values[N];
#pragma unroll
  for (int i = 0; i < N; ++i) values[i] = sums[i] + bias[i];
  activate_all(output.activation, values);
  const std::int64_t at = pixel * output.pitch + channel;
  const int count = output.channels - channel;
  if (output.wide) {
    put_channels(static_cast<float*>(output.data) + at, count, output.vectors, values, output.mode);
  } else {
    put_channels(static_cast<T*>(output.data) + at, count, output.vectors, values, output.mode);
  }
}

}  // namespace rook::ROOK_GPU::conv_mma
