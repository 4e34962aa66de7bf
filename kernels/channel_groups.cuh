// Work on the channels of a pixel, or of groups of them, that need sums over all: a warp per group, or per several
// groups where they are small.
#pragma once

#include "kernels/device.cuh"
#include "kernels/launch.cuh"

namespace rook::ROOK_GPU {

inline constexpr int kGroupThreads = 256;

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

inline Groups groups_of(const Tensor& t, int count) {
  Groups groups{.count = t.pixels() * count, .groups = count, .size = t.c / count};
  while (groups.lanes > 1 && groups.lanes / 2 >= groups.size) groups.lanes /= 2;
  return groups;
}

inline Grid grid_of(const Groups& groups) {
  constexpr int kMostBlocks = 4096;
  return {.blocks = blocks_for(groups.count, kGroupThreads / groups.lanes, kMostBlocks), .threads = kGroupThreads};
}

}  // namespace rook::ROOK_GPU
