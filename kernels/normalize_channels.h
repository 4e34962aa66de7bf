// The weights that normalize_channels makes of a pixel's channels, for the CPU and the kernels alike.
#pragma once

#include <cmath>

#include "kernels/host_device.h"
#include "kernels/ops.h"

namespace rook {

inline constexpr float kChannelEpsilon = 1e-4f;  // darknet's

// w of x - top; relu has no top (0).
ROOK_HOST_DEVICE inline float channel_weight(ChannelNorm kind, float x) {
  if (kind != ChannelNorm::relu) return std::exp(x);
  return x < 0 ? 0.0f : x;  // written so that a NaN passes
}

// dw / dx.
ROOK_HOST_DEVICE inline float channel_slope(ChannelNorm kind, float x) {
  if (kind != ChannelNorm::relu) return std::exp(x);
  return x > 0 ? 1.0f : 0.0f;
}

// What is added to the sum of the w. Those of softmax are smaller by exp(top) than its formula has them, so this is
// too.
ROOK_HOST_DEVICE inline float channel_epsilon(ChannelNorm kind, float top) {
  return kind == ChannelNorm::softmax ? kChannelEpsilon * std::exp(-top) : kChannelEpsilon;
}

}  // namespace rook
