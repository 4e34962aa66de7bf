// Which taps of which windows lie on which pixels, one axis at a time: shared by the pools of all devices.
#pragma once

#include "kernels/host_device.h"
#include "kernels/spatial.h"

namespace rook {

// Integers in [begin, end).
struct PoolRange {
  int begin, end;
  ROOK_HOST_DEVICE int size() const { return end - begin; }
};

struct PoolAxis {
  int extent, outputs, size, stride, offset;

  // Where window `out` begins; negative when it hangs over the edge.
  ROOK_HOST_DEVICE int start(int out) const { return out * stride - offset; }
  // Taps of window `out` that lie inside the image.
  ROOK_HOST_DEVICE PoolRange taps(int out) const {
    const int first = start(out), room = extent - first;
    return {first < 0 ? -first : 0, room < size ? room : size};
  }
  // Windows that hold pixel `in`.
  ROOK_HOST_DEVICE PoolRange windows(int in) const {
    const int last = in + offset, first = last - size + 1, end = last / stride + 1;
    return {first <= 0 ? 0 : (first + stride - 1) / stride, end < outputs ? end : outputs};
  }
};

struct PoolAxes {
  PoolAxis h, w;
};

inline PoolAxes axes_of(const PoolGeometry& g, const Tensor& image, const Tensor& outputs) {
  const int offset = pool_offset(g);
  return {{image.h, outputs.h, g.size_h, g.stride_h, offset}, {image.w, outputs.w, g.size_w, g.stride_w, offset}};
}

}  // namespace rook
