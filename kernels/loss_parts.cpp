#include "kernels/loss_parts.h"

#include <algorithm>

namespace rook {
namespace {

double mean(double sum, std::int64_t count) {
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

// The cost of one head (darknet.md 6.5): with mse (and region) the sum of all squared deltas, otherwise
// iou_normalizer (1 - mean IoU) + obj_normalizer * the squared deltas of objectness and classes.
LossSums darknet_cost(const LossHead& head, LossSums sums) {
  const HeadLossParams& p = head.params;
  if (head.head.kind == HeadKind::region || p.box_loss == BoxLoss::mse) return sums;
  const double similarity = p.box_loss == BoxLoss::giou ? sums.giou : sums.iou;
  sums.box = sums.positives > 0 ? p.iou_normalizer * (1 - mean(similarity, sums.positives)) : 0;
  sums.objectness *= p.obj_normalizer;
  sums.classes *= p.obj_normalizer;
  return sums;
}

LossParts parts_of(const LossSums& sums, double scale, std::int64_t truths) {
  LossParts parts{};
  parts.box = static_cast<float>(sums.box * scale);
  parts.objectness = static_cast<float>(sums.objectness * scale);
  parts.classes = static_cast<float>(sums.classes * scale);
  parts.mean_iou = static_cast<float>(mean(sums.iou, sums.positives));
  parts.mean_obj = static_cast<float>(mean(sums.positive_objectness, sums.assigned));
  parts.mean_noobj = static_cast<float>(mean(sums.other_objectness, sums.others));
  parts.positives = static_cast<std::int32_t>(sums.positives);
  parts.truths = static_cast<std::int32_t>(truths);
  parts.unmatched = static_cast<std::int32_t>(sums.unmatched);
  return parts;
}

}  // namespace

void LossSums::add(const LossSums& other) {
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

double loss_scale(const YoloLoss& args, std::int64_t positives) {
  return static_cast<double>(args.gradient_scale) / static_cast<double>(std::max<std::int64_t>(1, positives));
}

void write_loss(const YoloLoss& args, const LossSums* sums, const std::int32_t* unmatched) {
  const int images = args.heads[0].logits.n, heads = static_cast<int>(args.heads.size());
  const bool darknet = args.mode == LossMode::darknet;
  LossSums per_head[kMaxHeads], total;
  std::int64_t truths = 0, lost = 0, positives = 0;
  for (int n = 0; n < images; ++n) {
    truths += args.truth_counts[n];
    lost += unmatched[n];
    for (int h = 0; h < heads; ++h) per_head[h].add(sums[n * heads + h]);
  }
  for (int h = 0; h < heads; ++h) {
    if (darknet) per_head[h] = darknet_cost(args.heads[static_cast<std::size_t>(h)], per_head[h]);
    total.add(per_head[h]);
    positives += per_head[h].positives;
  }
  const double scale = darknet ? 1 : loss_scale(args, positives);
  for (int h = 0; h < heads; ++h) args.parts[1 + h] = parts_of(per_head[h], scale, truths);
  args.parts[0] = parts_of(total, darknet ? 1.0 / heads : scale, truths);
  args.parts[0].unmatched = static_cast<std::int32_t>(lost);
  for (int n = 0; args.image_loss != nullptr && n < images; ++n) {
    double sum = 0;
    for (int h = 0; h < heads; ++h) {
      const LossSums& s = sums[n * heads + h];
      sum += s.box + s.objectness + s.classes;
    }
    args.image_loss[n] = static_cast<float>(sum * scale);
  }
}

}  // namespace rook
