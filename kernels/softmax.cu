// Softmax over the channels of each group, with temperature (Hinton et al. 2015): y = exp((x - max x) / T) / sum;
// dx = y (dy - sum y dy) / T. A warp per group, or per several groups where they are small.
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
  int lanes = kWarp;  // per group: a power of two
};

// Where a lane is in its group. Lanes without a group have one of size 0.
struct GroupPlace {
  std::int64_t pixel;
  int channel, size;
  int lane, lanes;
};

// Calls visit(GroupPlace) with the groups of this warp, all of its lanes at once.
template <class Visit>
__device__ __forceinline__ void for_each_group(const Groups& groups, Visit visit) {
  const int per_warp = kWarp / groups.lanes;
  const std::int64_t step = grid_threads() / kWarp * per_warp;
  for (std::int64_t first = global_thread() / kWarp * per_warp; first < groups.count; first += step) {
    const std::int64_t i = first + lane() / groups.lanes;
    const bool active = i < groups.count;
    const std::int64_t group = active ? i : 0;
    visit(GroupPlace{.pixel = group / groups.groups,
                     .channel = static_cast<int>(group % groups.groups) * groups.size,
                     .size = active ? groups.size : 0,
                     .lane = lane() % groups.lanes,
                     .lanes = groups.lanes});
  }
}

// Over the lanes of each group.
template <class Operation>
__device__ __forceinline__ float group_reduce(float value, int lanes) {
  for (int offset = lanes / 2; offset > 0; offset /= 2)
    value = Operation{}(value, __shfl_xor_sync(kFullMask, value, offset));
  return value;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
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
__global__ void __launch_bounds__(kThreads, 1)
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

Groups groups_of(const Tensor& t, int count) {
  Groups groups{.count = t.pixels() * count, .groups = count, .size = t.c / count};
  while (groups.lanes > 1 && groups.lanes / 2 >= groups.size) groups.lanes /= 2;
  return groups;
}

Grid grid_of(const Groups& groups) {
  return {.blocks = blocks_for(groups.count, kThreads / groups.lanes, kMostBlocks), .threads = kThreads};
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
