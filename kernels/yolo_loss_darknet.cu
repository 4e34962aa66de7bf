// darknet's yolo loss: deltas as darknet computes them, with its quirks (darknet.md 6.1-6.5; formulas in
// darknet_delta.h). delta = -dL/d(output).
#include "kernels/darknet_delta.h"
#include "kernels/loss_tile.cuh"

namespace rook::ROOK_GPU {
namespace {

class DarknetLoss {
 public:
  static constexpr bool kBoxes = false, kTakenIsOther = true, kScaled = false;

  __device__ DarknetLoss(const LossCall& call, const LossHead& head, double scale)
      : call_(call),
        head_(head),
        factor_(static_cast<float>(-static_cast<double>(head.params.delta_normalizer) * scale)) {}

  // 6.1: background and ignored.
  __device__ bool cell(const LossSlot& slot, float objectness, float best_iou, bool taken, LossSums& sums) const {
    sums.other_objectness += objectness;
    if (taken || best_iou > head_.params.truth_thresh) return true;
    bool gate = false;
    for (int c = 0; best_iou > head_.params.ignore_thresh && !gate && c < head_.head.classes; ++c) {
      gate = passes_gate(slot, c);
    }
    const float delta = darknet_background_delta(head_.params, objectness, best_iou, gate);
    sums.objectness += static_cast<double>(delta) * delta;
    put(head_.dlogits, slot.gradient + 4, delta * factor_);
    return false;
  }

  __device__ void positive(const LossSlot& slot, float best_iou, float* row, LossSums& sums) const {
    const HeadLossParams& p = head_.params;
    const float objectness = activated(head_.head, slot.output[4]);
    bool gate = false;
    for (int c = lane(); c < head_.head.classes; c += kWarp) {
      row[c] = 0;
      gate = gate || passes_gate(slot, c);
    }
    Deltas deltas{{}, darknet_background_delta(p, objectness, best_iou, __any_sync(kFullMask, gate) != 0), row};
    __syncwarp();
    if (best_iou > p.truth_thresh) take_best_truth(slot, objectness, best_iou, deltas);
    for_each_match(call_, slot, [&](int index) { take(slot, objectness, index, deltas, sums); });
    if (p.iou_thresh < 1 && deltas.objectness != 0) average(deltas);
    write(slot, deltas, sums);
  }

 private:
  // Of one anchor cell: the same in all lanes, but for the classes, which lie in shared memory.
  struct Deltas {
    Box<float> box;
    float objectness;
    float* classes;
  };

  __device__ float probability(const LossSlot& slot, int c) const { return activated(head_.head, slot.output[5 + c]); }
  __device__ bool passes_gate(const LossSlot& slot, int c) const {
    return probability(slot, c) > static_cast<float>(kDarknetClassGate);
  }

  __device__ void add_box(const LossSlot& slot, const Truth& truth, float multiplier, Deltas& deltas) const {
    const CellDecoder<double> cell = decoder_of<double>(call_.args, head_, slot.index);
    const Box<double> d = darknet_box_delta<double>(head_.params, cell, box_outputs<double>(slot.output),
                                                    box_of<double>(truth), multiplier);
    deltas.box.x += static_cast<float>(d.x);
    deltas.box.y += static_cast<float>(d.y);
    deltas.box.w += static_cast<float>(d.w);
    deltas.box.h += static_cast<float>(d.h);
  }

  __device__ void add_classes(const LossSlot& slot, int cls, float multiplier, Deltas& deltas) const {
    const bool again = deltas.classes[cls] != 0;
    const float focus = head_.params.focal_loss ? darknet_focal(probability(slot, cls)) : 0.0f;
    __syncwarp();  // everybody has read it
    for (int c = lane(); c < head_.head.classes; c += kWarp) {
      deltas.classes[c] = darknet_class_delta(head_.params, c == cls, again, probability(slot, c), focus, multiplier,
                                              deltas.classes[c]);
    }
    __syncwarp();
  }

  // truth_thresh < 1: positive by overlap alone, with the first of the truths that overlap most.
  __device__ void take_best_truth(const LossSlot& slot, float objectness, float best_iou, Deltas& deltas) const {
    const HeadLossParams& p = head_.params;
    const Box<double> box = decoder_of<double>(call_.args, head_, slot.index).decode(box_outputs<double>(slot.output));
    const Truth* truths = truths_at(call_, slot.image);
    const int listed = call_.listed[slot.image];
    double highest = 0;
    int found = listed;
    for (int t = lane(); t < listed; t += kWarp) {
      const double value = is_usable(truths[t], head_.head.classes) ? iou(box, box_of<double>(truths[t])) : 0;
      if (value > highest) {
        highest = value;
        found = t;
      }
    }
    const double top = warp_reduce<Max>(highest);
    found = warp_reduce<Min>(highest == top ? found : listed);
    if (found == listed) return;  // the same for all lanes
    const Truth& truth = truths[found];
    const float multiplier = class_multiplier(p, truth.cls), target = p.objectness_smooth ? best_iou * best_iou : 1;
    deltas.objectness = p.obj_normalizer * (target - objectness);
    add_classes(slot, truth.cls, multiplier, deltas);
    if (p.objectness_smooth && lane() == 0) {
      deltas.classes[truth.cls] = multiplier * (target - probability(slot, truth.cls));
    }
    __syncwarp();
    add_box(slot, truth, multiplier, deltas);
  }

  // 6.2
  __device__ void take(const LossSlot& slot, float objectness, int index, Deltas& deltas, LossSums& sums) const {
    const HeadLossParams& p = head_.params;
    const Truth& truth = truths_at(call_, slot.image)[index];
    const float multiplier = class_multiplier(p, truth.cls);
    add_box(slot, truth, multiplier, deltas);
    // The trap: with objectness_smooth the background's delta, never exactly 0, stays.
    if (!(p.objectness_smooth && p.smooth_bug && deltas.objectness != 0)) {
      deltas.objectness = multiplier * p.obj_normalizer * (1 - objectness);
    }
    add_classes(slot, truth.cls, multiplier, deltas);
    if (lane() != 0) return;
    const Box<double> box = decoder_of<double>(call_.args, head_, slot.index).decode(box_outputs<double>(slot.output));
    sums.iou += iou(box, box_of<double>(truth));
    sums.giou += iou_value(IouKind::giou, box, box_of<double>(truth));
    sums.positive_objectness += objectness;
  }

  __device__ void average(Deltas& deltas) const {
    int up = 0;
    for (int c = lane(); c < head_.head.classes; c += kWarp) up += deltas.classes[c] > 0;
    up = warp_sum(up);
    const float count = up > 1 ? static_cast<float>(up) : 1.0f;
    deltas.box = {deltas.box.x / count, deltas.box.y / count, deltas.box.w / count, deltas.box.h / count};
  }

  __device__ void write(const LossSlot& slot, const Deltas& deltas, LossSums& sums) const {
    const auto put_delta = [&](int entry, float delta, double& sum) {
      sum += static_cast<double>(delta) * delta;
      put(head_.dlogits, slot.gradient + entry, delta * factor_);
    };
    for (int c = lane(); c < head_.head.classes; c += kWarp) put_delta(5 + c, deltas.classes[c], sums.classes);
    if (lane() != 0) return;
    put_delta(0, deltas.box.x, sums.box);
    put_delta(1, deltas.box.y, sums.box);
    put_delta(2, deltas.box.w, sums.box);
    put_delta(3, deltas.box.h, sums.box);
    put_delta(4, deltas.objectness, sums.objectness);
  }

  const LossCall& call_;
  const LossHead& head_;
  float factor_;
};

}  // namespace

// ------------------------------------------------------------------------------------------------------- launcher

void darknet_tiles(const LossCall& call, const LaunchSite& site) {
  launch_tiles<DarknetLoss>(call, site);
}

}  // namespace rook::ROOK_GPU
