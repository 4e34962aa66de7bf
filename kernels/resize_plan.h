// Where a resized photo lies in the output, and which source pixels an output pixel is made of: plain scalar code that
// all devices share.
//
//   y[p,q,c] = sum_i V[p,i] sum_j H[q,j] x[i,j,c]
//
// half_pixel is cv2's INTER_LINEAR, align_corners darknet's resize_image, area PIL's BILINEAR: a triangle of half width
// in / out about the centre of the output pixel, the bilinear filter at the scale of the output. Enlarged, that
// triangle is as wide as a source pixel, which is half-pixel bilinear again.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"
#include "kernels/ops.h"

namespace rook {

inline constexpr float kResizeFill = 127.5f;  // letterbox bars: 0.5, or 128 as u8

// Throws Error when the photo or the output is not as ops.h says. Types are left to the implementations.
void check_resize(const Resize& args);

// Of the photo in the output.
struct ResizePlacement {
  int left, top, width, height;
};

// A letterboxed photo in a picture of out_w x out_h (darknet.md 3.1): the side that fits is exact, the other rounded
// down; integer offsets. Never thinner than a pixel, where darknet would have nothing to draw.
inline ResizePlacement place_letterboxed(int photo_w, int photo_h, int out_w, int out_h) {
  int width = out_w, height = out_h;
  if (std::int64_t{out_w} * photo_h < std::int64_t{out_h} * photo_w) {
    height = std::max(1, static_cast<int>(std::int64_t{photo_h} * out_w / photo_w));
  } else {
    width = std::max(1, static_cast<int>(std::int64_t{photo_w} * out_h / photo_h));
  }
  return {(out_w - width) / 2, (out_h - height) / 2, width, height};
}

inline ResizePlacement place_photo(const Resize& args) {
  const Tensor& y = args.y;
  if (args.fit == Fit::stretch) return {0, 0, y.w, y.h};
  return place_letterboxed(args.width, args.height, y.w, y.h);
}

// Whether an axis takes triangle_at instead of linear_at.
ROOK_HOST_DEVICE inline bool is_triangle(Resampling resampling, int in, int out) {
  return resampling == Resampling::area && in > out;
}

// Two neighbours: first, and first + 1 with `weight` (0 where that is beyond the source).
struct LinearTaps {
  int first;
  float weight;
};

ROOK_HOST_DEVICE inline LinearTaps linear_at(Resampling resampling, int i, int in, int out) {
  double position = (i + 0.5) * in / out - 0.5;
  if (resampling == Resampling::align_corners) {
    position = i == out - 1 ? in - 1 : static_cast<double>(i) * (in - 1) / (out - 1);
  }
  position = std::clamp(position, 0.0, in - 1.0);
  const int first = static_cast<int>(position);
  return {first, static_cast<float>(position - first)};
}

// Source pixel first + t weighs max(0, 1 - |first + t + 0.5 - centre| / ratio), over the sum of all weights.
struct TriangleTaps {
  int first, taps;
  double centre, ratio;
};

ROOK_HOST_DEVICE inline TriangleTaps triangle_at(int i, int in, int out) {
  const double ratio = static_cast<double>(in) / out, centre = (i + 0.5) * ratio;
  return {std::max(0, static_cast<int>(std::floor(centre - ratio))), 2 * static_cast<int>(std::ceil(ratio)) + 1, centre,
          ratio};
}

}  // namespace rook
