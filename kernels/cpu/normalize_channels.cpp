// y = w / S over the channels of each pixel, and its derivative (kernels/normalize_channels.cu has the formulas). Few
// networks have it and it is small beside the convolution before it: plain loops.
#include "kernels/normalize_channels.h"

#include <limits>

#include "kernels/check.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/scalar.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

// What a pixel's channels are divided by.
struct Normaliser {
  float top = 0;  // the largest x; 0 where w does not need it
  float sum = 0;  // S
  std::int64_t largest = 0;
};

template <class T>
Normaliser normaliser_of(const T* x, std::int64_t channels, ChannelNorm kind) {
  Normaliser n;
  if (kind != ChannelNorm::relu) {
    n.top = -std::numeric_limits<float>::infinity();
    for (std::int64_t c = 0; c < channels; ++c) {
      if (const float v = to_float(x[c]); v > n.top) {
        n.top = v;
        n.largest = c;
      }
    }
  }
  for (std::int64_t c = 0; c < channels; ++c) n.sum += channel_weight(kind, to_float(x[c]) - n.top);
  n.sum += channel_epsilon(kind, n.top);
  return n;
}

}  // namespace

void normalize_channels_forward(const NormalizeChannelsForward& args, Stream) {
  check_args(args);
  with_f32_or_bf16("normalize_channels_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    for_rows(plan_rows({&args.x}, 1), [&](std::int64_t pixel, std::int64_t channels) {
      const T* x = args.x.as<T>() + pixel * args.x.pitch;
      T* y = args.y.as<T>() + pixel * args.y.pitch;
      const Normaliser n = normaliser_of(x, channels, args.kind);
      for (std::int64_t c = 0; c < channels; ++c)
        y[c] = from_float<T>(channel_weight(args.kind, to_float(x[c]) - n.top) / n.sum);
    });
  });
}

void normalize_channels_backward(const NormalizeChannelsBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  with_f32_or_bf16("normalize_channels_backward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    for_rows(plan_rows({&args.x}, 1), [&](std::int64_t pixel, std::int64_t channels) {
      const T* x = args.x.as<T>() + pixel * args.x.pitch;
      const T* dy = args.dy.as<T>() + pixel * args.dy.pitch;
      T* dx = args.dx.as<T>() + pixel * args.dx.pitch;
      const Normaliser n = normaliser_of(x, channels, args.kind);
      float dot = 0;
      for (std::int64_t c = 0; c < channels; ++c)
        dot += channel_weight(args.kind, to_float(x[c]) - n.top) / n.sum * to_float(dy[c]);
      for (std::int64_t c = 0; c < channels; ++c) {
        float result = channel_slope(args.kind, to_float(x[c]) - n.top) / n.sum * (to_float(dy[c]) - dot);
        if (args.kind == ChannelNorm::softmax_maxval && c == n.largest) result -= kChannelEpsilon / n.sum * dot;
        dx[c] = from_float<T>(args.mode == Grad::accumulate ? to_float(dx[c]) + result : result);
      }
    });
  });
}

}  // namespace rook::cpu
