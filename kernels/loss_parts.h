// What each image adds to the loss under each head, and how it becomes the numbers that yolo_loss reports. Shared by
// cpu and ref; sums are double, added in the order of the images.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace rook {

struct LossSums {
  // fixed: the weighted terms, not yet divided. darknet: sums of squared deltas.
  double box = 0, objectness = 0, classes = 0;
  double iou = 0, giou = 0;  // of the assignments
  double positive_objectness = 0, other_objectness = 0;
  std::int64_t positives = 0;  // assignments of a truth to an anchor cell
  std::int64_t assigned = 0;   // anchor cells in positive_objectness (darknet: once per assignment)
  std::int64_t others = 0;     // anchor cells in other_objectness
  std::int64_t unmatched = 0;  // truths that this head did not take

  void add(const LossSums& other);
};

// What a fixed loss is multiplied with: gradient_scale / max(1, positives).
double loss_scale(const YoloLoss& args, std::int64_t positives);

// Writes args.parts and args.image_loss from sums[image * heads + head] and unmatched[image], the truths that no head
// took. darknet mode: the parts of a head add up to the cost that darknet prints (6.5), the total is the mean over the
// heads, image_loss is the image's sum of squared deltas.
void write_loss(const YoloLoss& args, const LossSums* sums, const std::int32_t* unmatched);

}  // namespace rook
