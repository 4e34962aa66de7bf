// darknet's legacy reorg (darknet.md 1.5 "reorg"): a permutation of an image, defined on planar order.
#pragma once

#include "kernels/host_device.h"
#include "kernels/types.h"

namespace rook {

// An element of an image of an NHWC tensor: number of its pixel, and channel.
template <class Index>
struct PlanarPlace {
  Index pixel, channel;
};

// Where the wide side has the element that belongs to element `index` of the planar order of the deep side. That order
// is read as [C][H][W] with the extents of the wide side, whose own planar order is read as [C / s^2][H s][W s].
template <class Index>
ROOK_HOST_DEVICE inline PlanarPlace<Index> legacy_place(const Tensor& wide, int stride, Index index) {
  const auto s = static_cast<Index>(stride), h = static_cast<Index>(wide.h), w = static_cast<Index>(wide.w);
  const Index plane = h * w, inner = static_cast<Index>(wide.c) / (s * s);
  const Index k = index / plane, within = index - k * plane;
  const Index j = within / w, i = within - j * w;
  const Index off = k / inner, channel = k - off * inner;
  const Index row = j * s + off / s, column = i * s + off % s;
  const Index flat = (channel * h * s + row) * w * s + column;
  return {flat % plane, flat / plane};
}

}  // namespace rook
