// What each image adds to the loss under each head, and how it becomes the numbers that yolo_loss reports. Sums are
// double, added in a fixed order.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"
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

  ROOK_HOST_DEVICE void add(const LossSums& other) {
    box += other.box;
    objectness += other.objectness;
    classes += other.classes;
    iou += other.iou;
    giou += other.giou;
    positive_objectness += other.positive_objectness;
    other_objectness += other.other_objectness;
    positives += other.positives;
    assigned += other.assigned;
    others += other.others;
    unmatched += other.unmatched;
  }
};

// What a fixed loss is multiplied with.
ROOK_HOST_DEVICE inline double loss_scale(float gradient_scale, std::int64_t positives) {
  return static_cast<double>(gradient_scale) / static_cast<double>(positives > 1 ? positives : 1);
}

ROOK_HOST_DEVICE inline double mean_of(double sum, std::int64_t count) {
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

// The cost of one head (darknet.md 6.5): with mse (and region) the sum of all squared deltas, otherwise
// iou_normalizer (1 - mean IoU) + obj_normalizer * the squared deltas of objectness and classes.
ROOK_HOST_DEVICE inline LossSums darknet_cost(HeadKind kind, const HeadLossParams& p, LossSums sums) {
  if (kind == HeadKind::region || p.box_loss == BoxLoss::mse) return sums;
  const double similarity = p.box_loss == BoxLoss::giou ? sums.giou : sums.iou;
  sums.box = sums.positives > 0 ? p.iou_normalizer * (1 - mean_of(similarity, sums.positives)) : 0;
  sums.objectness *= p.obj_normalizer;
  sums.classes *= p.obj_normalizer;
  return sums;
}

ROOK_HOST_DEVICE inline LossParts parts_of(const LossSums& sums, double scale, std::int64_t truths) {
  LossParts parts{};
  parts.box = static_cast<float>(sums.box * scale);
  parts.objectness = static_cast<float>(sums.objectness * scale);
  parts.classes = static_cast<float>(sums.classes * scale);
  parts.mean_iou = static_cast<float>(mean_of(sums.iou, sums.positives));
  parts.mean_obj = static_cast<float>(mean_of(sums.positive_objectness, sums.assigned));
  parts.mean_noobj = static_cast<float>(mean_of(sums.other_objectness, sums.others));
  parts.positives = static_cast<std::int32_t>(sums.positives);
  parts.truths = static_cast<std::int32_t>(truths);
  parts.unmatched = static_cast<std::int32_t>(sums.unmatched);
  return parts;
}

// Writes parts[1 + heads] from the sums of each head over the batch, and returns what image_loss is to be scaled with.
// `truths` and `lost` (truths that no head took) are the batch's. darknet mode: the parts of a head add up to the cost
// that darknet prints (6.5), the total is the mean over the heads.
ROOK_HOST_DEVICE inline double write_parts(LossMode mode, float gradient_scale, const LossHead* heads, int count,
                                           const LossSums* per_head, std::int64_t truths, std::int64_t lost,
                                           LossParts* parts) {
  const bool darknet = mode == LossMode::darknet;
  LossSums total;
  for (int h = 0; h < count; ++h) {
    total.add(darknet ? darknet_cost(heads[h].head.kind, heads[h].params, per_head[h]) : per_head[h]);
  }
  const double scale = darknet ? 1 : loss_scale(gradient_scale, total.positives);
  for (int h = 0; h < count; ++h) {
    const LossSums sums = darknet ? darknet_cost(heads[h].head.kind, heads[h].params, per_head[h]) : per_head[h];
    parts[1 + h] = parts_of(sums, scale, truths);
  }
  total.unmatched = lost;
  parts[0] = parts_of(total, darknet ? 1.0 / count : scale, truths);
  return scale;
}

// Writes args.parts and args.image_loss from sums[image * heads + head] and unmatched[image], the truths that no head
// took. image_loss of darknet mode is the image's sum of squared deltas. On the host.
void write_loss(const YoloLoss& args, const LossSums* sums, const std::int32_t* unmatched);

}  // namespace rook
