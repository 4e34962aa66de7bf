// The detection loss: fixed mode with the true gradient (ops.h; formulas in head_loss.h), and the entry point of all
// modes. Background is computed in float, boxes and objectness of the few positives in double.
#include "kernels/yolo_loss.cuh"

#include "base/error.h"
#include "kernels/carve.h"
#include "kernels/head_check.h"
#include "kernels/head_loss.h"
#include "kernels/loss_tile.cuh"

namespace rook::ROOK_GPU {
namespace {

class FixedLoss {
 public:
  static constexpr bool kBoxes = false, kTakenIsOther = false, kScaled = true;

  __device__ FixedLoss(const LossCall& call, const LossHead& head, double scale)
      : call_(call), head_(head), weights_(head_weights<double>(head.head.kind, head.params)), scale_(scale) {}

  // Objectness of a cell that no truth took; none where a box is good though not assigned.
  __device__ bool cell(const LossSlot& slot, float objectness, float best_iou, bool taken, LossSums& sums) const {
    (taken ? sums.positive_objectness : sums.other_objectness) += objectness;
    if (taken) return true;
    if (best_iou > static_cast<float>(weights_.ignore)) return false;
    const Term<float> term = cross_entropy(probability_of(slot.output[4], head_.head.new_coords), 0.0f);
    sums.objectness += weights_.no_objectness * term.value;
    put(head_.dlogits, slot.gradient + 4, static_cast<float>(term.slope * (weights_.no_objectness * scale_)));
    return false;
  }

  __device__ void positive(const LossSlot& slot, float, float* row, LossSums& sums) const {
    const CellDecoder<double> cell = decoder_of<double>(call_.args, head_, slot.index);
    const Box<double> t = box_outputs<double>(slot.output), box = cell.decode(t);
    const float* output = slot.output + 5;
    const double log_sum = is_softmax() ? softmax_log_sum(output) : 0;
    Box<double> slope;
    double best = 0, multiplier = 0;
    LossSums mine;
    int matches = 0;
    for (int c = lane(); c < head_.head.classes; c += kWarp) row[c] = 0;
    __syncwarp();
    for_each_match(call_, slot, [&](int index) {
      const Truth& truth = truths_at(call_, slot.image)[index];
      const Box<double> target = box_of<double>(truth);
      const double m = class_multiplier(head_.params, truth.cls), overlap = iou(box, target);
      const BoxTerm<double> term = box_term(head_.params.box_loss, cell, t, target, ciou_alpha(box, target));
      slope = combine(1.0, slope, weights_.box * m, term.slope);
      mine.box += weights_.box * m * term.value;
      mine.iou += overlap;
      best = overlap > best ? overlap : best;
      multiplier = m > multiplier ? m : multiplier;
      ++matches;
      if (is_softmax()) {
        softmax_classes(output, truth.cls, weights_.classes * m, log_sum, row, sums);
      } else if (lane() == 0) {
        row[truth.cls] = 1;
      }
    });
    __syncwarp();
    write_classes(slot, output, row, matches, sums);
    const double weight = weights_.objectness * multiplier;
    const Term<double> term =
        cross_entropy(probability_of<double>(slot.output[4], head_.head.new_coords), weights_.iou_target ? best : 1.0);
    if (lane() == 0) {
      sums.box += mine.box;
      sums.iou += mine.iou;
      sums.objectness += weight * term.value;
      put(head_.dlogits, slot.gradient, static_cast<float>(slope.x * scale_));
      put(head_.dlogits, slot.gradient + 1, static_cast<float>(slope.y * scale_));
      put(head_.dlogits, slot.gradient + 2, static_cast<float>(slope.w * scale_));
      put(head_.dlogits, slot.gradient + 3, static_cast<float>(slope.h * scale_));
      put(head_.dlogits, slot.gradient + 4, static_cast<float>(weight * term.slope * scale_));
    }
  }

 private:
  __device__ bool is_softmax() const { return head_.head.kind == HeadKind::region && head_.head.softmax; }

  // ln sum_c e^output[c].
  __device__ double softmax_log_sum(const float* output) const {
    double largest = -INFINITY, sum = 0;
    for (int c = lane(); c < head_.head.classes; c += kWarp) largest = output[c] > largest ? output[c] : largest;
    largest = warp_reduce<Max>(largest);
    for (int c = lane(); c < head_.head.classes; c += kWarp) sum += exp(output[c] - largest);
    return largest + log(warp_sum(sum));
  }

  // Adds one match; `row` collects the slopes.
  __device__ void softmax_classes(const float* output, int cls, double weight, double log_sum, float* row,
                                  LossSums& sums) const {
    const double log_pt = output[cls] - log_sum;
    for (int c = lane(); c < head_.head.classes; c += kWarp) {
      const Term<double> term = softmax_term(head_.params, head_.head.classes, c == cls, output[c] - log_sum, log_pt);
      sums.classes += weight * term.value;
      row[c] += static_cast<float>(weight * term.slope);
    }
  }

  // Softmax: the slopes in `row`. Otherwise every match adds the cross-entropy with the union of the classes that were
  // matched here, which are not 0 in `row`.
  __device__ void write_classes(const LossSlot& slot, const float* output, const float* row, int matches,
                                LossSums& sums) const {
    for (int c = lane(); c < head_.head.classes; c += kWarp) {
      float slope = row[c];
      if (!is_softmax()) {
        const bool wanted = row[c] != 0;
        const Term<float> term = class_term(head_.params, probability_of(output[c], head_.head.new_coords), wanted);
        const double weight = weights_.classes * matches * (wanted ? class_multiplier(head_.params, c) : 1.0f);
        sums.classes += weight * term.value;
        slope = static_cast<float>(weight * term.slope);
      }
      put(head_.dlogits, slot.gradient + 5 + c, static_cast<float>(slope * scale_));
    }
  }

  const LossCall& call_;
  const LossHead& head_;
  HeadWeights<double> weights_;
  double scale_;
};

}  // namespace

// ------------------------------------------------------------------------------------------------------ launchers

namespace {

LossCall loss_call(const YoloLoss& args) {
  LossCall call{.args = args, .head_count = static_cast<int>(args.heads.size()), .images = args.heads[0].logits.n};
  std::copy(args.heads.begin(), args.heads.end(), call.heads);
  for (int h = 0; h < call.head_count; ++h) {
    const LossHead& head = call.heads[h];
    for (int a = 0; a < head.head.anchors; ++a) call.used_anchors |= 1u << head.head.mask[a];
    call.tile_pixels[h] = pixels_of_tile(head);
    call.tiles[h] = (head.logits.h * head.logits.w + call.tile_pixels[h] - 1) / call.tile_pixels[h];
    call.first_tile[h + 1] =
        call.first_tile[h] + static_cast<unsigned>(call.images) * static_cast<unsigned>(call.tiles[h]);
  }
  const std::int64_t images = call.images, heads = call.head_count;
  Carver carver(args.workspace);
  call.assigned = carver.take<Assigned>(images * heads * args.max_truths);
  call.counts = carver.take<AssignedCount>(images * heads);
  call.listed = carver.take<std::int32_t>(images);
  call.lost = carver.take<std::int32_t>(images);
  call.open = carver.take<unsigned>(std::int64_t{call.first_tile[heads]} * kLossWarps);
  call.best_iou = carver.take<float>(std::int64_t{call.first_tile[heads]} * kLossThreads);
  call.partial = carver.take<LossSums>(call.first_tile[heads]);
  call.sums = carver.take<LossSums>(images * heads);
  call.totals = carver.take<LossSums>(heads);
  call.bytes = carver.bytes();
  return call;
}

}  // namespace

void fixed_tiles(const LossCall& call, const LaunchSite& site) {
  launch_tiles<FixedLoss>(call, site);
}

std::size_t yolo_loss_workspace(const YoloLoss& args) {
  if (args.heads.empty() || args.heads.size() > kMaxHeads) throw Error("yolo_loss: no heads, or too many");
  YoloLoss without = args;
  without.workspace = nullptr;
  return loss_call(without).bytes;
}

void yolo_loss(const YoloLoss& args, Stream stream) {
  check_yolo_loss(args, Device::cuda, {DType::f32}, {DType::f32, DType::bf16});
  if (args.workspace == nullptr) throw Error("yolo_loss: no workspace; give yolo_loss_workspace(args) bytes");
  const LossCall call = loss_call(args);
  if (call.images > 0) {
    match_truths(call, stream);
    if (args.mode == LossMode::fixed) {
      fixed_tiles(call, stream);
    } else if (call.heads[0].head.kind == HeadKind::region) {
      region_tiles(call, stream);
    } else {
      darknet_tiles(call, stream);
    }
  }
  sum_tiles(call, stream);
}

}  // namespace rook::ROOK_GPU
