// What is drawn for one output of `augment`: which photos, where they lie, how they are mirrored and coloured. A pure
// function of (seed, iteration, slot, spec, order, image sizes) in plain structs and scalar code that every device runs
// itself, so that all of them show the network the same pictures.
//
// Random numbers: Philox with counter {slot = first_slot + output, draw, iteration, stream = augment}:
//   draw 0          x: mosaic?   y, z: column and row of the cut   w: which quadrant shows the photo of `order`
//   draw 1 + 4p     patch p: r1..r4 of darknet.md 8.3 (left, right, top, bottom edge)
//   draw 2 + 4p     x, y: darknet's resize (left and top, right and bottom)   z: zoom   w: aspect
//   draw 3 + 4p     x, y: shift   z: flip   w: push into the outer corner (mosaic)
//   draw 4 + 4p     x: hue   y: saturation   z: exposure   w: photo (mosaic, the other quadrants)
// Every number is drawn whether or not it is used, so that switching one change on or off leaves the others as they
// are.
//
// Geometry, in this order: (1) darknet's crop: each edge moved by U(-jitter, jitter) and by `resize`, as fractions of
// the photo; a crop without area becomes the whole photo. (2) Ours: zoom 1 +- scale and aspect 1 +- aspect about the
// centre (width * zoom sqrt(aspect), height * zoom / sqrt(aspect)), moved by +-shift of the output. (3) Horizontal
// flip. (4) Mosaic: each quadrant shows the part of the whole transformed picture that darknet.md 8.5 says: the corner
// beside the cut, moved so that bars outside the photo use up none of it. All of it is relative to the photo and
// stretched over the output, so a photo may have any size: one pixel of the photo is one pixel of the output only when
// both sizes are equal and nothing is changed. Enlarging and shrinking is bilinear: a cache much larger than the
// network input would alias (keep it at the largest training size).
//
// Differences from darknet, on purpose: fractions are real numbers where darknet rounds to pixels of the photo; what is
// outside the photo is 0.5 grey, and stays so, where darknet takes the photo's mean colour (OpenCV build) and recolours
// it; the bars of a mosaic are measured in the output where darknet forgets the zoom; each output decides on mosaic by
// itself where darknet decides per chunk of the loader; colour is exact in float with the hue wrapped around, where
// darknet rounds to 8 bits and clips negative hues.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"
#include "kernels/ops.h"
#include "kernels/philox.h"

namespace rook {

// One photo in one rectangle of the output. The photo's coordinate of output coordinate x is offset_x + scale_x * x,
// both continuous and in pixels (pixel i covers [i, i + 1)); scale_x is negative when mirrored. (No initialisers: these
// lie in the shared memory of a block, too.)
struct AugmentPatch {
  std::int32_t image;                               // index into Augment::images
  std::int32_t x0, y0, x1, y1;                      // the rectangle, [x0, x1) x [y0, y1)
  std::int32_t seen_x0, seen_y0, seen_x1, seen_y1;  // its pixels with the centre on the photo
  double scale_x, offset_x, scale_y, offset_y;
  float hue, saturation, exposure;  // added (in turns), multiplied, multiplied
  ROOK_HOST_DEVICE bool recolours() const { return hue != 0 || saturation != 1 || exposure != 1; }
};

struct AugmentPlan {
  std::int32_t patches;  // 1, or 4: top left, top right, bottom left, bottom right
  AugmentPatch patch[4];
};

// Throws Error when shapes, pointers or ranges of the spec are wrong. Types are left to the implementations, and so is
// what only the device can read.
void check_augment(const Augment& args);
void check_augmentation(const AugmentSpec& spec);  // the ranges alone
// ... or when an index of `order` or a photo is, where the host can read them.
void check_augment_lists(const Augment& args);

// Parts of plan_augment.
namespace plan {

// The numbers of one output.
class Draws {
 public:
  ROOK_HOST_DEVICE Draws(const Augment& args, int output)
      : key_(philox_key(args.seed)),
        slot_(args.first_slot + static_cast<std::uint32_t>(output)),
        iteration_(args.iteration) {}

  ROOK_HOST_DEVICE PhiloxBlock words(std::uint32_t draw) const {
    return philox(key_, {slot_, draw, iteration_, philox_stream(PhiloxUse::augment)});
  }
  ROOK_HOST_DEVICE Uniform4 uniform(std::uint32_t draw) const { return philox_uniform(words(draw)); }

 private:
  PhiloxKey key_;
  std::uint32_t slot_, iteration_;
};

// The first of a patch's four draws.
ROOK_HOST_DEVICE inline std::uint32_t first_draw(int patch) {
  return 1 + 4 * static_cast<std::uint32_t>(patch);
}

ROOK_HOST_DEVICE inline double between(double low, double high, float u) {
  return low + (high - low) * u;
}

// darknet's rand_scale: U(1, limit) or its inverse; one draw decides both.
ROOK_HOST_DEVICE inline float rand_scale(float limit, float u) {
  const double side = 2.0 * u - 1;
  const double factor = 1 + (limit - 1.0) * std::abs(side);
  return static_cast<float>(side < 0 ? 1 / factor : factor);
}

// What darknet cuts off each side, as fractions of the photo; negative: bars.
struct Margins {
  double left, right, top, bottom;
};

ROOK_HOST_DEVICE inline Margins draw_margins(const AugmentSpec& spec, const Uniform4& edges, const Uniform4& sizes) {
  const double down = std::min(spec.resize, 1 / spec.resize), up = std::max(spec.resize, 1 / spec.resize);
  const double low = (1 - 1 / down) / 2, high = spec.resize < 1 ? 0 : (1 - 1 / up) / 2;
  const double first = between(low, high, sizes.x), second = between(low, high, sizes.y);
  const double jitter = spec.jitter;
  return {between(-jitter, jitter, edges.x) + first, between(-jitter, jitter, edges.y) + second,
          between(-jitter, jitter, edges.z) + first, between(-jitter, jitter, edges.w) + second};
}

// Moves the crop of a mosaic's slot so that nothing is cut off (and no bar is left) on the photo's outer side.
ROOK_HOST_DEVICE inline void push_outwards(int slot, bool flip, Margins& margins) {
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
ROOK_HOST_DEVICE inline Line line_of(double low_margin, double high_margin, double zoom, double shift, int in,
                                     int out) {
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

ROOK_HOST_DEVICE inline Extent extent_of(const Line& line, int in) {
  const double a = -line.offset / line.scale, b = (in - line.offset) / line.scale;
  return {std::min(a, b), std::max(a, b)};
}

// Moves the picture under a mosaic's cut: a quadrant before the cut shows the picture's end, one behind it the
// beginning.
ROOK_HOST_DEVICE inline void shift_under_cut(Line& line, bool before, int cut, int in, int out) {
  const Extent extent = extent_of(line, in);
  const double move = before ? (out - cut) - std::min<double>(out - cut, std::max(0.0, out - extent.high))
                             : std::min<double>(cut, std::max(0.0, extent.low)) - cut;
  line.offset += line.scale * move;
}

// Pixels of [begin, end) with the centre in the extent.
ROOK_HOST_DEVICE inline void clip_to_extent(const Extent& extent, int begin, int end, std::int32_t& first,
                                            std::int32_t& last) {
  first = static_cast<std::int32_t>(std::clamp<double>(std::ceil(extent.low - 0.5), begin, end));
  last = static_cast<std::int32_t>(std::clamp<double>(std::ceil(extent.high - 0.5), first, end));
}

struct Cut {
  bool exists;
  int x, y;
};

// At least one pixel on either side; an output of one row or column cannot be cut.
ROOK_HOST_DEVICE inline int draw_cut(int size, float u) {
  return std::clamp(static_cast<int>(size * between(0.2, 0.8, u)), 1, std::max(1, size - 1));
}

// Patch `slot` of the output: the whole of it, or with a cut the mosaic's quadrant of that number.
ROOK_HOST_DEVICE inline AugmentPatch draw_patch(const Augment& args, const Draws& draws, int slot, int image,
                                                const Cut& cut) {
  const AugmentSpec& spec = args.spec;
  const std::uint32_t draw = first_draw(slot);
  const Uniform4 sizes = draws.uniform(draw + 1), places = draws.uniform(draw + 2), colours = draws.uniform(draw + 3);
  const bool flip = places.z < spec.flip;
  Margins margins = draw_margins(spec, draws.uniform(draw), sizes);
  if (cut.exists && places.w < 0.5f) push_outwards(slot, flip, margins);

  const CachedImage& photo = args.images.data()[image];
  const int out_w = args.y.w, out_h = args.y.h;
  const double zoom = between(1 - spec.scale, 1 + spec.scale, sizes.z);
  const double aspect = std::sqrt(between(1 - spec.aspect, 1 + spec.aspect, sizes.w));
  const double shift_x = between(-spec.shift, spec.shift, places.x),
               shift_y = between(-spec.shift, spec.shift, places.y);
  Line x = line_of(margins.left, margins.right, zoom * aspect, shift_x, photo.width, out_w);
  Line y = line_of(margins.top, margins.bottom, zoom / aspect, shift_y, photo.height, out_h);
  if (flip) x = {-x.scale, x.offset + x.scale * out_w};

  AugmentPatch result{.image = image, .x0 = 0, .y0 = 0, .x1 = out_w, .y1 = out_h};
  if (cut.exists) {
    const bool left = slot % 2 == 0, top = slot < 2;
    shift_under_cut(x, left, cut.x, photo.width, out_w);
    shift_under_cut(y, top, cut.y, photo.height, out_h);
    (left ? result.x1 : result.x0) = cut.x;
    (top ? result.y1 : result.y0) = cut.y;
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

}  // namespace plan

// 1, or 4 when output `output` of a checked batch is a mosaic.
ROOK_HOST_DEVICE inline int count_patches(const Augment& args, int output) {
  return plan::Draws(args, output).uniform(0).x < args.spec.mosaic ? 4 : 1;
}

// Patch `slot` of `patches` of an output. Reads the sizes in args.images, never pixels or truths.
ROOK_HOST_DEVICE inline AugmentPatch plan_patch(const Augment& args, int output, int patches, int slot) {
  const plan::Draws draws(args, output);
  const int own = args.order.data()[output];
  if (patches == 1) return plan::draw_patch(args, draws, slot, own, {});
  const Uniform4 first = draws.uniform(0);
  const plan::Cut cut{true, plan::draw_cut(args.y.w, first.y), plan::draw_cut(args.y.h, first.z)};
  const std::uint32_t word = draws.words(plan::first_draw(slot) + 3).w;
  const int drawn = static_cast<int>(philox_below(word, static_cast<std::uint32_t>(args.images.size())));
  return plan::draw_patch(args, draws, slot, slot == static_cast<int>(4 * first.w) ? own : drawn, cut);
}

// The plan of an output.
inline AugmentPlan plan_augment(const Augment& args, int output) {
  AugmentPlan plan{.patches = count_patches(args, output), .patch = {}};
  for (int slot = 0; slot < plan.patches; ++slot) plan.patch[slot] = plan_patch(args, output, plan.patches, slot);
  return plan;
}

}  // namespace rook
