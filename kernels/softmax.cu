// Softmax over the channels of each group, with temperature (Hinton et al. 2015): y = exp((x - max x) / T) / sum;
// dx = y (dy - sum y dy) / T. A warp per group, or per several groups where they are small.
#include "kernels/channel_groups.cuh"
#include "kernels/check.h"
#include "kernels/elementwise.cuh"

namespace rook::ROOK_GPU {
namespace {

template <class T>
__global__ void __launch_bounds__(kGroupThreads)
    softmax(View<const T> x /* [pixels, C] */, View<T> y /* [pixels, C] */, Groups groups, float scale) {
  for_each_group(groups, [&](const GroupPlace& place) {
    const T* from = x.at(place.pixel, place.channel);
    T* to = y.at(place.pixel, place.channel);
    float top = -INFINITY, sum = 0;
    for (int c = place.lane; c < place.size; c += place.lanes) top = Max{}(top, to_float(from[c]));
    top = group_reduce<Max>(top, place.lanes);
    // A NaN may have been lost on the way to `top`; it is found again here.
    for (int c = place.lane; c < place.size; c += place.lanes) sum += expf((to_float(from[c]) - top) * scale);
    const float normaliser = 1.0f / group_reduce<Add>(sum, place.lanes);
    for (int c = place.lane; c < place.size; c += place.lanes)
      to[c] = from_float<T>(expf((to_float(from[c]) - top) * scale) * normaliser);
  });
}

template <class T>
__global__ void __launch_bounds__(kGroupThreads, 1)
    softmax_gradient(View<const T> y /* [pixels, C] */, View<const T> dy /* [pixels, C] */,
                     View<T> dx /* [pixels, C] */, Groups groups, float scale, Grad mode) {
  for_each_group(groups, [&](const GroupPlace& place) {
    const T* probability = y.at(place.pixel, place.channel);
    const T* gradient = dy.at(place.pixel, place.channel);
    float dot = 0;
    for (int c = place.lane; c < place.size; c += place.lanes) dot += to_float(probability[c]) * to_float(gradient[c]);
    dot = group_reduce<Add>(dot, place.lanes);
#pragma unroll 1
    for (int c = place.lane; c < place.size; c += place.lanes) {
      const float value[1] = {to_float(probability[c]) * (to_float(gradient[c]) - dot) * scale};
      put_gradient(dx.at(place.pixel, place.channel) + c, value, mode);
    }
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

void softmax_forward(const SoftmaxForward& args, Stream stream) {
  check_args(args);
  const LaunchSite site = stream;
  const Groups groups = groups_of(args.x, args.groups);
  with_storage("softmax_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    launch(site, grid_of(groups), softmax<T>, view<const T>(args.x), view<T>(args.y), groups, 1 / args.temperature);
  });
}

void softmax_backward(const SoftmaxBackward& args, Stream stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const LaunchSite site = stream;
  const Groups groups = groups_of(args.y, args.groups);
  with_storage("softmax_backward", args.y.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    launch(site, grid_of(groups), softmax_gradient<T>, view<const T>(args.y), view<const T>(args.dy), view<T>(args.dx),
           groups, 1 / args.temperature, args.mode);
  });
}

}  // namespace rook::ROOK_GPU
