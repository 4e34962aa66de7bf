// What `augment` does to one pixel and to one truth, by the plan of kernels/augment_plan.h: shared by all devices.
#pragma once

#include "kernels/augment_plan.h"
#include "kernels/host_device.h"

namespace rook {

inline constexpr float kAugmentGrey = 127.5f;  // outside the photo, of 0..255

// Bilinear along one axis, pixel centres at halves, the border repeated.
struct AugmentTap {
  std::int32_t index;
  float weight;  // of index + 1
};

ROOK_HOST_DEVICE inline AugmentTap augment_tap(double coordinate, int size) {
  const double position = std::clamp(coordinate - 0.5, 0.0, size - 1.0);
  const auto index = static_cast<std::int32_t>(position);
  return {index, static_cast<float>(position - index)};
}

// darknet's float HSV change (darknet.md 8.4) of colours in 0..255, one (V = float) or a vector of them, without a
// branch. Saturation is chroma / value, so value * saturation' is the chroma scaled by both factors: no division by the
// value. Back to RGB goes the k-formula: value - chroma * clamp(min(k, 4 - k), 0, 1), k = (n + hue) mod 6 with hue in
// sixths, not negative, and n = 5, 3, 1 for red, green, blue.
template <class V, class Truncate>
struct ColourChange {
  float turn, exposure, scale;
  Truncate truncate;  // of a V, towards 0

  ROOK_HOST_DEVICE ColourChange(const AugmentPatch& patch, Truncate t)
      : turn(6 + 6 * patch.hue), exposure(patch.exposure), scale(patch.exposure * patch.saturation), truncate(t) {}

  ROOK_HOST_DEVICE static V larger(V a, V b) { return a > b ? a : b; }
  ROOK_HOST_DEVICE static V smaller(V a, V b) { return a < b ? a : b; }
  ROOK_HOST_DEVICE static V clamp(V x, float limit) { return larger(V{}, smaller(limit + V{}, x)); }

  ROOK_HOST_DEVICE V channel(V hue, float n, V value, V chroma) const {
    const V sum = n + hue, k = sum - 6 * truncate(sum * (1.0f / 6));
    return clamp(value - chroma * clamp(smaller(k, 4 - k), 1), 255);
  }

  ROOK_HOST_DEVICE void apply(V& r, V& g, V& b) const {
    const V high = larger(r, larger(g, b)), delta = high - smaller(r, smaller(g, b));
    const V inverse = 1 / (delta + 1e-6f);  // grey: the chroma is 0, any hue does
    const V not_red = g == high ? 2 + (b - r) * inverse : 4 + (r - g) * inverse;
    const V hue = turn + (r == high ? (g - b) * inverse : not_red);
    const V value = exposure * high, chroma = scale * delta;
    r = channel(hue, 5, value, chroma);
    g = channel(hue, 3, value, chroma);
    b = channel(hue, 1, value, chroma);
  }
};

// Part of an axis, in output pixels.
struct AugmentInterval {
  double low, high;
  ROOK_HOST_DEVICE double length() const { return std::max(0.0, high - low); }
  ROOK_HOST_DEVICE AugmentInterval within(double from, double to) const {
    return {std::max(low, from), std::min(high, to)};
  }
};

ROOK_HOST_DEVICE inline AugmentInterval augment_interval(double centre, double size, double scale, double offset,
                                                         int photo_size) {
  const double middle = (centre * photo_size - offset) / scale, half = std::abs(size / 2 * photo_size / scale);
  return {middle - half, middle + half};
}

// Moves a truth with the pixels of its patch and cuts it at the output's edge (mosaic_bound: the quadrant's). False:
// it is left out, because less than min_visible of its area lies in the quadrant, or nothing, or because it became
// thinner than a pixel.
ROOK_HOST_DEVICE inline bool place_truth(const Augment& args, const AugmentPatch& patch, const CachedImage& photo,
                                         const Truth& truth, Truth& placed) {
  const int width = args.y.w, height = args.y.h;
  const AugmentInterval x = augment_interval(truth.x, truth.w, patch.scale_x, patch.offset_x, photo.width);
  const AugmentInterval y = augment_interval(truth.y, truth.h, patch.scale_y, patch.offset_y, photo.height);
  const AugmentInterval seen_x = x.within(patch.x0, patch.x1), seen_y = y.within(patch.y0, patch.y1);
  const double seen = seen_x.length() * seen_y.length();
  if (!(seen > 0) || !(seen >= args.spec.min_visible * (x.length() * y.length()))) return false;
  const AugmentInterval kept_x = args.spec.mosaic_bound ? seen_x : x.within(0, width);
  const AugmentInterval kept_y = args.spec.mosaic_bound ? seen_y : y.within(0, height);
  if (!(kept_x.length() >= 1) || !(kept_y.length() >= 1)) return false;
  placed = {static_cast<float>((kept_x.low + kept_x.high) / 2 / width),
            static_cast<float>((kept_y.low + kept_y.high) / 2 / height), static_cast<float>(kept_x.length() / width),
            static_cast<float>(kept_y.length() / height), truth.cls};
  return true;
}

}  // namespace rook
