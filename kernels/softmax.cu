// Softmax over the channels of each group, with temperature (Hinton et al. 2015): y = exp((x - max x) / T) / sum;
// dx = y (dy - sum y dy) / T. A warp per group.
#include "kernels/check.h"
#include "kernels/device.cuh"
#include "kernels/elementwise.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kThreads = 256, kMostBlocks = 4096;

// Group g of pixel p has number p * groups + g.
struct Groups {
  std::int64_t count = 0;
  int groups = 1, size = 1;
};

// Calls visit(pixel, first channel) for the groups of this warp.
template <class Visit>
__device__ __forceinline__ void for_each_group(const Groups& groups, Visit visit) {
  const std::int64_t warps = grid_threads() / kWarp;
  for (std::int64_t i = global_thread() / kWarp; i < groups.count; i += warps)
    visit(i / groups.groups, static_cast<int>(i % groups.groups) * groups.size);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    softmax(View<const T> x /* [pixels, C] */, View<T> y /* [pixels, C] */, Groups groups, float scale) {
  for_each_group(groups, [&](std::int64_t pixel, int channel) {
    const T* from = x.at(pixel, channel);
    T* to = y.at(pixel, channel);
    float top = -INFINITY, sum = 0;
    for (int c = lane(); c < groups.size; c += kWarp) top = Max{}(top, to_float(from[c]));
    top = warp_reduce<Max>(top);
    // A NaN may have been lost on the way to `top`; it is found again here.
    for (int c = lane(); c < groups.size; c += kWarp) sum += expf((to_float(from[c]) - top) * scale);
    const float normaliser = 1.0f / warp_sum(sum);
    for (int c = lane(); c < groups.size; c += kWarp)
      to[c] = from_float<T>(expf((to_float(from[c]) - top) * scale) * normaliser);
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    softmax_gradient(View<const T> y /* [pixels, C] */, View<const T> dy /* [pixels, C] */,
                     View<T> dx /* [pixels, C] */, Groups groups, float scale, Grad mode) {
  for_each_group(groups, [&](std::int64_t pixel, int channel) {
    const T *probability = y.at(pixel, channel), *gradient = dy.at(pixel, channel);
    float dot = 0;
    for (int c = lane(); c < groups.size; c += kWarp) dot += to_float(probability[c]) * to_float(gradient[c]);
    dot = warp_sum(dot);
    for (int c = lane(); c < groups.size; c += kWarp) {
      const float value[1] = {to_float(probability[c]) * (to_float(gradient[c]) - dot) * scale};
      put_gradient(dx.at(pixel, channel) + c, value, mode);
    }
  });
}

Groups groups_of(const Tensor& t, int groups) {
  return {.count = t.pixels() * groups, .groups = groups, .size = t.c / groups};
}

Grid grid_of(const Groups& groups) {
  return {.blocks = blocks_for(groups.count, kThreads / kWarp, kMostBlocks), .threads = kThreads};
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
