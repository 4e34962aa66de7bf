// The end of fprop and dgrad: from f32 sums of 4 neighbouring channels to what lies in memory.
#pragma once

#include "kernels/activation_math.h"
#include "kernels/conv_mma_tile.cuh"

namespace rook::ROOK_GPU::conv_mma {

// linear and leaky, those of nearly all layers: code that is short enough to be unrolled.
struct Piecewise {
  template <int N>
  static __device__ __forceinline__ void apply(Activation activation, float (&values)[N]) {
    if (activation == Activation::linear) return;
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = activate(Activation::leaky, values[i]);
  }
};

struct AnyActivation {
  template <int N>
  static __device__ __forceinline__ void apply(Activation activation, float (&values)[N]) {
    switch (activation) {  // one switch for all of the values, for those that whole networks are made of
      case Activation::linear:
        return;
      case Activation::leaky:
        return apply_as<Activation::leaky>(values);
      case Activation::relu:
        return apply_as<Activation::relu>(values);
      case Activation::mish:
        return apply_as<Activation::mish>(values);
      case Activation::swish:
        return apply_as<Activation::swish>(values);
      default:
#pragma unroll
        for (int i = 0; i < N; ++i) values[i] = activate(activation, values[i]);
    }
  }

 private:
  template <Activation A, int N>
  static __device__ __forceinline__ void apply_as(float (&values)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = activate(A, values[i]);
  }
};

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
template <class T, class Activations, int N>
__device__ __forceinline__ void put_pixel(const PixelOutput& output, std::int64_t pixel, int channel,
                                          const float (&sums)[N], const float (&bias)[N]) {
  float values[N];
#pragma unroll
  for (int i = 0; i < N; ++i) values[i] = sums[i] + bias[i];
  Activations::apply(output.activation, values);
  const std::int64_t at = pixel * output.pitch + channel;
  const int count = output.channels - channel;
  if (output.wide) {
    put_channels(static_cast<float*>(output.data) + at, count, output.vectors, values, output.mode);
  } else {
    put_channels(static_cast<T*>(output.data) + at, count, output.vectors, values, output.mode);
  }
}

}  // namespace rook::ROOK_GPU::conv_mma
