// Augmentation, naive and in double: each output pixel asks its patch's plan where it comes from.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/augment_plan.h"
#include "kernels/bfloat16.h"
#include "kernels/ops.h"
#include "kernels/step.h"

namespace rook::ref {
namespace {

struct Colour {
  double r, g, b;
};

double& channel(Colour& colour, int c) {
  return c == 0 ? colour.r : c == 1 ? colour.g : colour.b;
}

// Bilinear at continuous coordinates, pixel centres at halves, the border repeated.
Colour sample(const CachedImage& photo, double x, double y) {
  x = std::clamp(x - 0.5, 0.0, photo.width - 1.0);
  y = std::clamp(y - 0.5, 0.0, photo.height - 1.0);
  const int x0 = static_cast<int>(x), y0 = static_cast<int>(y);
  const int x1 = std::min(x0 + 1, photo.width - 1), y1 = std::min(y0 + 1, photo.height - 1);
  const double fx = x - x0, fy = y - y0;
  Colour colour{};
  for (int c = 0; c < 3; ++c) {
    const auto at = [&](int row, int column) {
      return photo.pixels[(std::int64_t{row} * photo.width + column) * 3 + c] / 255.0;
    };
    channel(colour, c) =
        (1 - fy) * ((1 - fx) * at(y0, x0) + fx * at(y0, x1)) + fy * ((1 - fx) * at(y1, x0) + fx * at(y1, x1));
  }
  return colour;
}

// darknet's rgb_to_hsv, change and hsv_to_rgb, branch by branch (darknet.md 8.4).
Colour recolour(const Colour& in, const AugmentPatch& patch) {
  const double high = std::max({in.r, in.g, in.b}), delta = high - std::min({in.r, in.g, in.b});
  double hue = 0, saturation = 0;
  if (high > 0 && delta > 0) {
    saturation = delta / high;
    hue = in.r == high ? (in.g - in.b) / delta : in.g == high ? 2 + (in.b - in.r) / delta : 4 + (in.r - in.g) / delta;
    hue /= 6;
  }
  hue += patch.hue;
  hue -= std::floor(hue);
  saturation *= patch.saturation;
  const double value = high * patch.exposure;
  const int sector = static_cast<int>(hue * 6) % 6;
  const double f = hue * 6 - std::floor(hue * 6);
  const double p = value * (1 - saturation), q = value * (1 - saturation * f), t = value * (1 - saturation * (1 - f));
  const Colour sectors[6] = {{value, t, p}, {q, value, p}, {p, value, t}, {p, q, value}, {t, p, value}, {value, p, q}};
  const Colour& out = sectors[sector];
  return {std::clamp(out.r, 0.0, 1.0), std::clamp(out.g, 0.0, 1.0), std::clamp(out.b, 0.0, 1.0)};
}

Colour pixel_of(const AugmentPatch& patch, const CachedImage& photo, int column, int row) {
  const double x = patch.offset_x + patch.scale_x * (column + 0.5);
  const double y = patch.offset_y + patch.scale_y * (row + 0.5);
  if (x < 0 || x >= photo.width || y < 0 || y >= photo.height) return {0.5, 0.5, 0.5};
  const Colour colour = sample(photo, x, y);
  return patch.recolours() ? recolour(colour, patch) : colour;
}

void store(const Tensor& y, std::int64_t pixel, int c, double value) {
  const std::int64_t at = pixel * y.pitch + c;
  switch (y.dtype) {
    case DType::f64:
      y.as<double>()[at] = value;
      return;
    case DType::f32:
      y.as<float>()[at] = static_cast<float>(value);
      return;
    case DType::bf16:
      y.as<std::uint16_t>()[at] = float_to_bf16(static_cast<float>(value));
      return;
    default:
      throw Error(
          fmt::format("ref augment: output of type {} is not supported; use f32, f64 or bf16", name_of(y.dtype)));
  }
}

struct Corners {
  double left, top, right, bottom;
  double width() const { return right - left; }
  double height() const { return bottom - top; }
  double area() const { return std::max(0.0, width()) * std::max(0.0, height()); }
};

Corners intersect(const Corners& a, const Corners& b) {
  return {std::max(a.left, b.left), std::max(a.top, b.top), std::min(a.right, b.right), std::min(a.bottom, b.bottom)};
}

// The truth in output pixels.
Corners box_of(const Truth& truth, const AugmentPatch& patch, const CachedImage& photo) {
  const double x0 = ((truth.x - truth.w / 2.0) * photo.width - patch.offset_x) / patch.scale_x;
  const double x1 = ((truth.x + truth.w / 2.0) * photo.width - patch.offset_x) / patch.scale_x;
  const double y0 = ((truth.y - truth.h / 2.0) * photo.height - patch.offset_y) / patch.scale_y;
  const double y1 = ((truth.y + truth.h / 2.0) * photo.height - patch.offset_y) / patch.scale_y;
  return {std::min(x0, x1), std::min(y0, y1), std::max(x0, x1), std::max(y0, y1)};
}

void write_truths(const Augment& args, const AugmentPlan& plan, int output) {
  const double width = args.y.w, height = args.y.h;
  int count = 0;
  for (int p = 0; p < plan.patches; ++p) {
    const AugmentPatch& patch = plan.patch[p];
    const CachedImage& photo = args.images[patch.image];
    const Corners quadrant{double(patch.x0), double(patch.y0), double(patch.x1), double(patch.y1)};
    for (int t = 0; t < photo.truth_count; ++t) {
      const Truth& truth = photo.truths[t];
      const Corners whole = box_of(truth, patch, photo), seen = intersect(whole, quadrant);
      const Corners kept = args.spec.mosaic_bound ? seen : intersect(whole, {0, 0, width, height});
      const bool visible = seen.area() > 0 && seen.area() >= args.spec.min_visible * whole.area();
      if (!visible || !(kept.width() >= 1) || !(kept.height() >= 1) || count == args.max_truths) continue;
      args.truths[std::int64_t{output} * args.max_truths + count++] = {
          static_cast<float>((kept.left + kept.right) / 2 / width),
          static_cast<float>((kept.top + kept.bottom) / 2 / height), static_cast<float>(kept.width() / width),
          static_cast<float>(kept.height() / height), truth.cls};
    }
  }
  args.truth_counts[output] = count;
}

}  // namespace

void augment(const Augment& given, Stream) {
  const Augment args = with_step(given);
  check_augment(args);
  check_augment_lists(args);
  for (int output = 0; output < args.y.n; ++output) {
    const AugmentPlan plan = plan_augment(args, output);
    for (int p = 0; p < plan.patches; ++p) {
      const AugmentPatch& patch = plan.patch[p];
      for (int row = patch.y0; row < patch.y1; ++row) {
        for (int column = patch.x0; column < patch.x1; ++column) {
          Colour colour = pixel_of(patch, args.images[patch.image], column, row);
          const std::int64_t pixel = (std::int64_t{output} * args.y.h + row) * args.y.w + column;
          for (int c = 0; c < 3; ++c) store(args.y, pixel, c, channel(colour, c));
        }
      }
    }
    write_truths(args, plan, output);
  }
}

}  // namespace rook::ref
