// [scale_channels], squeeze-excitation (Hu et al. 2018): each channel of an image, or each pixel, times a gate.
#include <algorithm>

#include "kernels/check.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/scalar.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/vec.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

// out (=|+=) in * gate, pixel by pixel.
template <class T>
void multiply(const Tensor& in, const Tensor& gate, const Tensor& out, bool accumulate) {
  const bool spatial = is_spatial_gate(in, gate);
  const std::int64_t area = std::int64_t{in.h} * in.w;
  for_rows(plan_rows({&in}, 1), [&](std::int64_t pixel, std::int64_t channels) {
    const T* source = in.as<T>() + pixel * in.pitch;
    T* target = out.as<T>() + pixel * out.pitch;
    if (spatial) {
      const Vec factor = splat<Vec>(to_float(gate.as<T>()[pixel * gate.pitch]));
      map_gradient(
          accumulate, channels, [factor](Vec value) { return value * factor; }, target, source);
    } else {
      const T* factors = gate.as<T>() + pixel / area * gate.pitch;
      map_gradient(accumulate, channels, kMultiply, target, source, factors);
    }
  });
}

// dgate[n,h,w] = sum over c of x dy.
template <class T>
void spatial_gate_gradient(const ScaleChannelsBackward& args) {
  const bool accumulate = args.dgate_mode == Grad::accumulate;
  for_rows(plan_rows({&args.x}, 1), [&](std::int64_t pixel, std::int64_t channels) {
    const T* x = args.x.as<T>() + pixel * args.x.pitch;
    const T* dy = args.dy.as<T>() + pixel * args.dy.pitch;
    Vec sums = {};
    std::int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) sums += load(x + c) * load(dy + c);
    const int rest = static_cast<int>(channels - c);
    if (rest > 0) sums += load_partial(x + c, rest) * load_partial(dy + c, rest);
    T& gradient = args.dgate.as<T>()[pixel * args.dgate.pitch];
    gradient = from_float<T>(sum_of_lanes(sums) + (accumulate ? to_float(gradient) : 0.0f));
  });
}

// dgate[n,c] = sum over h, w of x dy: float sums of blocks of pixels, added in double in their order.
template <class T>
void channel_gate_gradient(const ScaleChannelsBackward& args) {
  constexpr std::int64_t kBlockPixels = 128;
  const Tensor &x = args.x, &dy = args.dy;
  const std::int64_t channels = x.c, area = std::int64_t{x.h} * x.w;
  const std::int64_t blocks = divide_up(area, kBlockPixels);
  ScratchScope scratch;
  float* partials = scratch.floats(x.n * blocks * channels);
  parallel_for(x.n * blocks, x.elements(), [&](std::int64_t i) {
    float* partial = partials + i * channels;
    std::fill_n(partial, channels, 0.0f);
    const std::int64_t image = i / blocks, begin = i % blocks * kBlockPixels;
    for (std::int64_t pixel = begin; pixel < std::min(area, begin + kBlockPixels); ++pixel) {
      map_gradient(true, channels, kMultiply, partial, x.as<T>() + (image * area + pixel) * x.pitch,
                   dy.as<T>() + (image * area + pixel) * dy.pitch);
    }
  });
  for (std::int64_t image = 0; image < x.n; ++image) {
    T* gradient = args.dgate.as<T>() + image * args.dgate.pitch;
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = args.dgate_mode == Grad::accumulate ? to_float(gradient[c]) : 0;
      for (std::int64_t b = 0; b < blocks; ++b) sum += partials[(image * blocks + b) * channels + c];
      gradient[c] = from_float<T>(static_cast<float>(sum));
    }
  }
}

}  // namespace

void scale_channels_forward(const ScaleChannelsForward& args, Stream) {
  check_args(args);
  with_f32_or_bf16("scale_channels_forward", args.x.dtype,
                   [&](auto storage) { multiply<typename decltype(storage)::Type>(args.x, args.gate, args.y, false); });
}

void scale_channels_backward(const ScaleChannelsBackward& args, Stream) {
  check_args(args);
  with_f32_or_bf16("scale_channels_backward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    // The gate's gradient first: dx may be dy.
    if (args.dgate_mode != Grad::none) {
      if (is_spatial_gate(args.x, args.gate)) {
        spatial_gate_gradient<T>(args);
      } else {
        channel_gate_gradient<T>(args);
      }
    }
    if (args.dx_mode != Grad::none) multiply<T>(args.dy, args.gate, args.dx, args.dx_mode == Grad::accumulate);
  });
}

}  // namespace rook::cpu
