// The checks of `augment`.
#include "kernels/augment_plan.h"

#include <fmt/format.h>

#include "base/error.h"

namespace rook {
namespace {

void check_range(const char* name, double value, double low, double high, bool open_high) {
  if (value >= low && (open_high ? value < high : value <= high)) return;
  throw Error(fmt::format("augment: {} is {:g}; it must be at least {:g} and {} {:g}", name, value, low,
                          open_high ? "below" : "at most", high));
}

}  // namespace

void check_augmentation(const AugmentSpec& spec) {
  check_range("jitter", spec.jitter, 0, 1, true);
  check_range("resize", spec.resize, 0.01, 100, false);
  check_range("scale", spec.scale, 0, 1, true);
  check_range("aspect", spec.aspect, 0, 1, true);
  check_range("shift", spec.shift, 0, 1, false);
  check_range("flip", spec.flip, 0, 1, false);
  check_range("hue", spec.hue, 0, 1, false);
  check_range("saturation", spec.saturation, 0.01, 100, false);
  check_range("exposure", spec.exposure, 0.01, 100, false);
  check_range("mosaic", spec.mosaic, 0, 1, false);
  check_range("min_visible", spec.min_visible, 0, 1, false);
}

void check_augment(const Augment& args) {
  const Tensor& y = args.y;
  if (!y || y.h < 1 || y.w < 1 || y.c != 3 || y.pitch < y.c || y.n != static_cast<int>(args.order.size())) {
    throw Error(fmt::format("augment: output [{},{},{},{}] must have 3 channels and one image per entry of order ({})",
                            y.n, y.h, y.w, y.c, args.order.size()));
  }
  if (!args.truth_counts || args.max_truths < 0 || (args.max_truths > 0 && !args.truths)) {
    throw Error(
        fmt::format("augment: room for {} truths per image and for their counts must be given", args.max_truths));
  }
  check_augmentation(args.spec);
}

void check_augment_lists(const Augment& args) {
  for (std::size_t i = 0; i < args.images.size(); ++i) {
    const CachedImage& image = args.images[i];
    if (!image.pixels || image.width < 1 || image.height < 1 || image.truth_count < 0 ||
        (image.truth_count > 0 && !image.truths)) {
      throw Error(
          fmt::format("augment: cached photo {} is {}x{} with {} truths; it must have pixels, and truths as counted", i,
                      image.width, image.height, image.truth_count));
    }
  }
  for (std::size_t i = 0; i < args.order.size(); ++i) {
    if (args.order[i] < 0 || static_cast<std::size_t>(args.order[i]) >= args.images.size()) {
      throw Error(fmt::format("augment: order[{}] is {}, but there are {} cached photos", i, args.order[i],
                              args.images.size()));
    }
  }
}

}  // namespace rook
