// y = w / S over the channels of each pixel, S = epsilon + sum w (NormalizeChannelsForward in ops.h). With dot = sum y
// dy: dx = (w' / S) (dy - dot), w' being dw / dx; where S has the largest x in it, that one's dx loses epsilon / S dot.
#include "kernels/channel_groups.cuh"
#include "kernels/check.h"
#include "kernels/elementwise.cuh"
#include "kernels/normalize_channels.h"

namespace rook::ROOK_GPU {
namespace {

// What a pixel's channels are divided by, known to all lanes of its group.
struct GroupNormaliser {
  float top = 0;  // the largest x; 0 where w does not need it
  float sum = 0;  // S
};

template <class T>
__device__ __forceinline__ GroupNormaliser normaliser_of(const T* x, const GroupPlace& place, ChannelNorm kind) {
  GroupNormaliser n;
  if (kind != ChannelNorm::relu) {
    float top = -INFINITY;
    for (int c = place.lane; c < place.size; c += place.lanes) top = Max{}(top, to_float(x[c]));
    n.top = group_reduce<Max>(top, place.lanes);
  }
  for (int c = place.lane; c < place.size; c += place.lanes) n.sum += channel_weight(kind, to_float(x[c]) - n.top);
  n.sum = group_reduce<Add>(n.sum, place.lanes) + channel_epsilon(kind, n.top);
  return n;
}

template <class T>
__global__ void __launch_bounds__(kGroupThreads)
    normalize_channels(View<const T> x /* [pixels, C] */, View<T> y /* [pixels, C] */, Groups groups,
                       ChannelNorm kind) {
  for_each_group(groups, [&](const GroupPlace& place) {
    const T* from = x.at(place.pixel, place.channel);
    T* to = y.at(place.pixel, place.channel);
    const GroupNormaliser n = normaliser_of(from, place, kind);
    for (int c = place.lane; c < place.size; c += place.lanes)
      to[c] = from_float<T>(channel_weight(kind, to_float(from[c]) - n.top) / n.sum);
  });
}

template <class T>
__global__ void __launch_bounds__(kGroupThreads, 1)
    normalize_channels_gradient(View<const T> x /* [pixels, C] */, View<const T> dy /* [pixels, C] */,
                                View<T> dx /* [pixels, C], may be dy */, Groups groups, ChannelNorm kind, Grad mode) {
  for_each_group(groups, [&](const GroupPlace& place) {
    const T* value = x.at(place.pixel, place.channel);
    const T* gradient = dy.at(place.pixel, place.channel);
    const GroupNormaliser n = normaliser_of(value, place, kind);
    float dot = 0;
    int largest = place.size;  // the first of the largest x; the size: none
    for (int c = place.lane; c < place.size; c += place.lanes) {
      const float v = to_float(value[c]);
      dot += channel_weight(kind, v - n.top) / n.sum * to_float(gradient[c]);
      if (v == n.top && c < largest) largest = c;
    }
    dot = group_reduce<Add>(dot, place.lanes);
    for (int offset = place.lanes / 2; offset > 0; offset /= 2)
      largest = min(largest, __shfl_xor_sync(kFullMask, largest, offset));
#pragma unroll 1
    for (int c = place.lane; c < place.size; c += place.lanes) {
      const float v = to_float(value[c]) - n.top;
      float result[1] = {channel_slope(kind, v) / n.sum * (to_float(gradient[c]) - dot)};
      if (kind == ChannelNorm::softmax_maxval && c == largest) result[0] -= kChannelEpsilon / n.sum * dot;
      put_gradient(dx.at(place.pixel, place.channel) + c, result, mode);
    }
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

void normalize_channels_forward(const NormalizeChannelsForward& args, Stream stream) {
  check_args(args);
  const LaunchSite site = stream;
  const Groups groups = groups_of(args.x, 1);
  with_storage("normalize_channels_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    launch(site, grid_of(groups), normalize_channels<T>, view<const T>(args.x), view<T>(args.y), groups, args.kind);
  });
}

void normalize_channels_backward(const NormalizeChannelsBackward& args, Stream stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const LaunchSite site = stream;
  const Groups groups = groups_of(args.x, 1);
  with_storage("normalize_channels_backward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    launch(site, grid_of(groups), normalize_channels_gradient<T>, view<const T>(args.x), view<const T>(args.dy),
           view<T>(args.dx), groups, args.kind, args.mode);
  });
}

}  // namespace rook::ROOK_GPU
