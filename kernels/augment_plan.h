// What is drawn for one output of `augment`: which photos, where they lie, how they are mirrored and coloured. A pure
// function of (seed, iteration, slot, spec, order, image sizes), computed on the host in plain structs; cpu::, ref::
// and cuda:: only carry it out, so that all devices show the network the same pictures.
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

#include <cstdint>

#include "kernels/ops.h"

namespace rook {

// One photo in one rectangle of the output. The photo's coordinate of output coordinate x is offset_x + scale_x * x,
// both continuous and in pixels (pixel i covers [i, i + 1)); scale_x is negative when mirrored.
struct AugmentPatch {
  std::int32_t image = 0;                                           // index into Augment::images
  std::int32_t x0 = 0, y0 = 0, x1 = 0, y1 = 0;                      // the rectangle, [x0, x1) x [y0, y1)
  std::int32_t seen_x0 = 0, seen_y0 = 0, seen_x1 = 0, seen_y1 = 0;  // its pixels with the centre on the photo
  double scale_x = 1, offset_x = 0, scale_y = 1, offset_y = 0;
  float hue = 0, saturation = 1, exposure = 1;  // added (in turns), multiplied, multiplied
  bool recolours() const { return hue != 0 || saturation != 1 || exposure != 1; }
};

struct AugmentPlan {
  std::int32_t patches = 1;  // 1, or 4: top left, top right, bottom left, bottom right
  AugmentPatch patch[4];
};

// Throws Error when shapes, pointers that the host can see, indices or ranges of the spec are wrong. Types are left to
// the implementations.
void check_augment(const Augment& args);

// The plan of output `output` of a checked batch. Reads the sizes in args.images, never pixels or truths.
AugmentPlan plan_augment(const Augment& args, int output);

}  // namespace rook
