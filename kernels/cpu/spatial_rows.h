// How the CPU versions of pooling and upsampling walk over a tensor: pixel rows over the threads, channels in vectors.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/vec.h"
#include "kernels/types.h"

namespace rook::cpu {

template <class T>
T* pixel_at(const Tensor& t, int n, int y, int x) {
  return t.as<T>() + ((std::int64_t{n} * t.h + y) * t.w + x) * t.pitch;
}

// Calls f(n, y) for all pixel rows of `t`. `work`: elements that are touched in all, which decides on threads.
template <class F>
void for_pixel_rows(const Tensor& t, std::int64_t work, F f) {
  parallel_for(std::int64_t{t.n} * t.h, work,
               [&](std::int64_t row) { f(static_cast<int>(row / t.h), static_cast<int>(row % t.h)); });
}

// 16-bit integers, widened into lanes.
inline VecUint load_indices(const std::uint16_t* source) {
  VecHalf half;
  std::memcpy(&half, source, sizeof half);
  return __builtin_convertvector(half, VecUint);
}
inline void store_indices(std::uint16_t* destination, VecUint value) {
  const VecHalf half = __builtin_convertvector(value, VecHalf);
  std::memcpy(destination, &half, sizeof half);
}

// Access to a whole vector of channels, and to the last `count` of them.
struct AllLanes {
  template <class T>
  Vec get(const T* source) const {
    return load(source);
  }
  template <class T>
  void put(T* destination, Vec value) const {
    store(destination, value);
  }
  VecUint get_indices(const std::uint16_t* source) const { return load_indices(source); }
  void put_indices(std::uint16_t* destination, VecUint value) const { store_indices(destination, value); }
};

struct FirstLanes {
  int count;

  template <class T>
  Vec get(const T* source) const {
    return load_partial(source, count);
  }
  template <class T>
  void put(T* destination, Vec value) const {
    store_partial(destination, count, value);
  }
  VecUint get_indices(const std::uint16_t* source) const {
    std::uint16_t lanes[kLanes] = {};
    std::copy_n(source, count, lanes);
    return load_indices(lanes);
  }
  void put_indices(std::uint16_t* destination, VecUint value) const {
    std::uint16_t lanes[kLanes];
    store_indices(lanes, value);
    std::copy_n(lanes, count, destination);
  }
};

// Calls f(lanes, first channel) for all vectors of `channels` channels; `lanes` is AllLanes or FirstLanes.
template <class F>
void for_channels(int channels, F f) {
  int c = 0;
  for (; c + kLanes <= channels; c += kLanes) f(AllLanes{}, c);
  if (c < channels) f(FirstLanes{channels - c}, c);
}

// destination (=|+=) value.
template <class Lanes, class T>
void put_gradient(Lanes lanes, T* destination, Vec value, Grad mode) {
  lanes.put(destination, mode == Grad::accumulate ? lanes.get(destination) + value : value);
}

}  // namespace rook::cpu
