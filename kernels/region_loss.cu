// darknet's region loss (YOLOv2; darknet.md 6.6; formulas in darknet_delta.h): squared errors. A later truth replaces
// what an earlier one has left at the same anchor cell. delta = -dL/d(output).
#include "kernels/darknet_delta.h"
#include "kernels/loss_tile.cuh"
#include "kernels/step.h"

namespace rook::ROOK_GPU {
namespace {

class RegionLoss {
 public:
  static constexpr bool kBoxes = true, kTakenIsOther = true, kScaled = false;

  __device__ RegionLoss(const LossCall& call, const LossHead& head, double scale)
      : call_(call),
        head_(head),
        factor_(static_cast<float>(-scale)),
        warm_up_(with_step(call.args).seen < kRegionWarmup) {}

  // Background; in the warm-up every anchor is drawn to its prior.
  __device__ bool cell(const LossSlot& slot, float objectness, float best_iou, bool taken, LossSums& sums) const {
    sums.other_objectness += objectness;
    if (taken) return true;
    const float delta =
        best_iou > head_.params.thresh ? 0 : region_objectness_delta(head_.params.noobject_scale, 0.0f, objectness);
    put_delta(slot, 4, delta, sums.objectness);
    if (!warm_up_) return false;
    const CellDecoder<double> cell = decoder_of<double>(call_.args, head_, slot.index);
    const Box<double> prior{(cell.col + 0.5) / cell.grid_w, (cell.row + 0.5) / cell.grid_h, cell.anchor_w,
                            cell.anchor_h};
    put_box(slot, cell, prior, kRegionPriorScale, sums);
    return false;
  }

  __device__ void positive(const LossSlot& slot, float, float*, LossSums& sums) const {
    const HeadLossParams& p = head_.params;
    const CellDecoder<double> cell = decoder_of<double>(call_.args, head_, slot.index);
    const Box<double> box = cell.decode(box_outputs<double>(slot.output));
    const float o = sigmoid(slot.output[4]);
    float overlap = 0;
    int last = 0;
    for_each_match(call_, slot, [&](int index) {
      overlap = static_cast<float>(iou(box, box_of<double>(truths_at(call_, slot.image)[index])));
      last = index;
      if (lane() != 0) return;
      sums.iou += overlap;
      sums.positive_objectness += o;
    });
    const Truth& truth = truths_at(call_, slot.image)[last];
    put_classes(slot, truth.cls, sums);
    if (lane() != 0) return;
    put_box(slot, cell, box_of<double>(truth), p.coord_scale, sums);
    put_delta(slot, 4, region_objectness_delta(p.object_scale, p.rescore ? overlap : 1.0f, o), sums.objectness);
  }

 private:
  __device__ void put_delta(const LossSlot& slot, int entry, float delta, double& sum) const {
    sum += static_cast<double>(delta) * delta;
    put(head_.dlogits, slot.gradient + entry, delta * factor_);
  }

  __device__ void put_box(const LossSlot& slot, const CellDecoder<double>& cell, const Box<double>& truth, double scale,
                          LossSums& sums) const {
    const Box<double> d = region_box_delta(cell, box_outputs<double>(slot.output), truth, scale);
    put_delta(slot, 0, static_cast<float>(d.x), sums.box);
    put_delta(slot, 1, static_cast<float>(d.y), sums.box);
    put_delta(slot, 2, static_cast<float>(d.w), sums.box);
    put_delta(slot, 3, static_cast<float>(d.h), sums.box);
  }

  __device__ void put_classes(const LossSlot& slot, int cls, LossSums& sums) const {
    const float* output = slot.output + 5;
    const int classes = head_.head.classes;
    float largest = -INFINITY, sum = 0;
    for (int c = lane(); c < classes; c += kWarp) largest = fmaxf(largest, output[c]);
    largest = warp_reduce<Max>(largest);
    for (int c = lane(); c < classes; c += kWarp) sum += expf(output[c] - largest);
    sum = warp_sum(sum);
    const auto probability = [&](int c) {
      return head_.head.softmax ? expf(output[c] - largest) / sum : sigmoid(output[c]);
    };
    const float factor = head_.params.focal_loss ? darknet_focal(probability(cls)) : 1;
    for (int c = lane(); c < classes; c += kWarp) {
      const float hit = c == cls ? 1 : 0;
      put_delta(slot, 5 + c, head_.params.class_scale * (hit - probability(c)) * factor, sums.classes);
    }
  }

  const LossCall& call_;
  const LossHead& head_;
  float factor_;
  bool warm_up_;
};

}  // namespace

// ------------------------------------------------------------------------------------------------------- launcher

void region_tiles(const LossCall& call, const LaunchSite& site) {
  launch_tiles<RegionLoss>(call, site);
}

}  // namespace rook::ROOK_GPU
