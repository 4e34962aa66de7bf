// The random draws and the geometry of one output of `augment` (kernels/augment_plan.h says the order of both).
#include "kernels/augment_plan.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/philox.h"

namespace rook {
namespace {

// The numbers of one output.
class Draws {
 public:
  Draws(const Augment& args, int output)
      : key_(philox_key(args.seed)),
        slot_(args.first_slot + static_cast<std::uint32_t>(output)),
        iteration_(args.iteration) {}

  PhiloxBlock words(std::uint32_t draw) const {
    return philox(key_, {slot_, draw, iteration_, philox_stream(PhiloxUse::augment)});
  }
  Uniform4 uniform(std::uint32_t draw) const { return philox_uniform(words(draw)); }

 private:
  PhiloxKey key_;
  std::uint32_t slot_, iteration_;
};

// The first of a patch's four draws.
std::uint32_t first_draw(int patch) {
  return 1 + 4 * static_cast<std::uint32_t>(patch);
}

double between(double low, double high, float u) {
  return low + (high - low) * u;
}

// darknet's rand_scale: U(1, limit) or its inverse; one draw decides both.
float rand_scale(float limit, float u) {
  const double side = 2.0 * u - 1;
  const double factor = 1 + (limit - 1.0) * std::abs(side);
  return static_cast<float>(side < 0 ? 1 / factor : factor);
}

// What darknet cuts off each side, as fractions of the photo; negative: bars.
struct Margins {
  double left, right, top, bottom;
};

Margins draw_margins(const AugmentSpec& spec, const Uniform4& edges, const Uniform4& sizes) {
  const double down = std::min(spec.resize, 1 / spec.resize), up = std::max(spec.resize, 1 / spec.resize);
  const double low = (1 - 1 / down) / 2, high = spec.resize < 1 ? 0 : (1 - 1 / up) / 2;
  const double first = between(low, high, sizes.x), second = between(low, high, sizes.y);
  const double jitter = spec.jitter;
  return {between(-jitter, jitter, edges.x) + first, between(-jitter, jitter, edges.y) + second,
          between(-jitter, jitter, edges.z) + first, between(-jitter, jitter, edges.w) + second};
}

// Moves the crop of a mosaic's slot so that nothing is cut off (and no bar is left) on the photo's outer side.
void push_outwards(int slot, bool flip, Margins& margins) {
  const bool left = (slot % 2 == 0) != flip, top = slot < 2;
  const double width = margins.left + margins.right, height = margins.top + margins.bottom;
  margins.left = left ? 0 : width;
  margins.right = left ? width : 0;
  margins.top = top ? 0 : height;
  margins.bottom = top ? height : 0;
}

// source = offset + scale * output along one axis.
struct Line {
  double scale, offset;
};

// Photo of `in` pixels, cropped by the margins, zoomed by `zoom` about the centre, moved by `shift` of the output.
Line line_of(double low_margin, double high_margin, double zoom, double shift, int in, int out) {
  double crop = 1 - low_margin - high_margin;
  if (!(crop > 0)) {
    crop = 1;
    low_margin = 0;
  }
  const double scale = crop / zoom;
  const double offset = low_margin + crop / 2 - scale * (0.5 + shift);
  return {scale * in / out, offset * in};
}

// Where the photo's edges lie in the output.
struct Extent {
  double low, high;
};

Extent extent_of(const Line& line, int in) {
  const double a = -line.offset / line.scale, b = (in - line.offset) / line.scale;
  return {std::min(a, b), std::max(a, b)};
}

// Moves the picture under a mosaic's cut: a quadrant before the cut shows the picture's end, one behind it the
// beginning.
void shift_under_cut(Line& line, bool before, int cut, int in, int out) {
  const Extent extent = extent_of(line, in);
  const double move = before ? (out - cut) - std::min<double>(out - cut, std::max(0.0, out - extent.high))
                             : std::min<double>(cut, std::max(0.0, extent.low)) - cut;
  line.offset += line.scale * move;
}

// Pixels of [begin, end) with the centre in the extent.
void clip_to_extent(const Extent& extent, int begin, int end, std::int32_t& first, std::int32_t& last) {
  first = static_cast<std::int32_t>(std::clamp<double>(std::ceil(extent.low - 0.5), begin, end));
  last = static_cast<std::int32_t>(std::clamp<double>(std::ceil(extent.high - 0.5), first, end));
}

struct Cut {
  int x, y;
};

// Patch `slot` of the output: the whole of it, or with a cut the mosaic's quadrant of that number.
AugmentPatch plan_patch(const Augment& args, const Draws& draws, int slot, int image, const Cut* cut) {
  const AugmentSpec& spec = args.spec;
  const std::uint32_t draw = first_draw(slot);
  const Uniform4 sizes = draws.uniform(draw + 1), places = draws.uniform(draw + 2), colours = draws.uniform(draw + 3);
  const bool flip = places.z < spec.flip;
  Margins margins = draw_margins(spec, draws.uniform(draw), sizes);
  if (cut && places.w < 0.5f) push_outwards(slot, flip, margins);

  const CachedImage& photo = args.images[image];
  const int out_w = args.y.w, out_h = args.y.h;
  const double zoom = between(1 - spec.scale, 1 + spec.scale, sizes.z);
  const double aspect = std::sqrt(between(1 - spec.aspect, 1 + spec.aspect, sizes.w));
  const double shift_x = between(-spec.shift, spec.shift, places.x),
               shift_y = between(-spec.shift, spec.shift, places.y);
  Line x = line_of(margins.left, margins.right, zoom * aspect, shift_x, photo.width, out_w);
  Line y = line_of(margins.top, margins.bottom, zoom / aspect, shift_y, photo.height, out_h);
  if (flip) x = {-x.scale, x.offset + x.scale * out_w};

  AugmentPatch result{.image = image, .x0 = 0, .y0 = 0, .x1 = out_w, .y1 = out_h};
  if (cut) {
    const bool left = slot % 2 == 0, top = slot < 2;
    shift_under_cut(x, left, cut->x, photo.width, out_w);
    shift_under_cut(y, top, cut->y, photo.height, out_h);
    (left ? result.x1 : result.x0) = cut->x;
    (top ? result.y1 : result.y0) = cut->y;
  }
  result.scale_x = x.scale;
  result.offset_x = x.offset;
  result.scale_y = y.scale;
  result.offset_y = y.offset;
  clip_to_extent(extent_of(x, photo.width), result.x0, result.x1, result.seen_x0, result.seen_x1);
  clip_to_extent(extent_of(y, photo.height), result.y0, result.y1, result.seen_y0, result.seen_y1);
  result.hue = static_cast<float>(between(-spec.hue, spec.hue, colours.x));
  result.saturation = rand_scale(spec.saturation, colours.y);
  result.exposure = rand_scale(spec.exposure, colours.z);
  return result;
}

void check_range(const char* name, double value, double low, double high, bool open_high) {
  if (value >= low && (open_high ? value < high : value <= high)) return;
  throw Error(fmt::format("augment: {} is {}; it must be at least {} and {} {}", name, value, low,
                          open_high ? "below" : "at most", high));
}

void check_spec(const AugmentSpec& spec) {
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

}  // namespace

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
  check_spec(args.spec);
}

AugmentPlan plan_augment(const Augment& args, int output) {
  const Draws draws(args, output);
  const Uniform4 first = draws.uniform(0);
  const int image = args.order[static_cast<std::size_t>(output)];
  AugmentPlan plan;
  if (!(first.x < args.spec.mosaic)) {
    plan.patch[0] = plan_patch(args, draws, 0, image, nullptr);
    return plan;
  }
  // At least one pixel on either side of the cut; an output of one row or column cannot be cut.
  const auto draw_cut = [](int size, float u) {
    return std::clamp(static_cast<int>(size * between(0.2, 0.8, u)), 1, std::max(1, size - 1));
  };
  const Cut cut{draw_cut(args.y.w, first.y), draw_cut(args.y.h, first.z)};
  const int own_slot = static_cast<int>(4 * first.w);
  plan.patches = 4;
  for (int slot = 0; slot < 4; ++slot) {
    const std::uint32_t word = draws.words(first_draw(slot) + 3).w;
    const int drawn = static_cast<int>(philox_below(word, static_cast<std::uint32_t>(args.images.size())));
    plan.patch[slot] = plan_patch(args, draws, slot, slot == own_slot ? image : drawn, &cut);
  }
  return plan;
}

}  // namespace rook
