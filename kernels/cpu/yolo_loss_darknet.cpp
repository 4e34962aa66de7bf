// darknet's yolo loss: deltas as darknet computes them, with its quirks (darknet.md 6.1-6.5; formulas in
// darknet_delta.h).
#include "kernels/cpu/yolo_loss.h"
#include "kernels/darknet_delta.h"

namespace rook::cpu {
namespace {

class DarknetHead {
 public:
  DarknetHead(const YoloLoss& args, const LossWorkspace& workspace, int image, int head, ScratchScope& scratch)
      : args_(args),
        head_(args.heads[static_cast<std::size_t>(head)]),
        truths_(truths_of(args, image)),
        matches_(matches_of_head(args, workspace, image, head)),
        image_(image),
        slots_(head_.logits.h * head_.logits.w * head_.head.anchors),
        entries_(head_.head.entries()),
        delta_(scratch.floats(std::int64_t{slots_} * entries_)),
        probabilities_(scratch.floats(head_.head.classes)) {
    std::fill_n(delta_, std::int64_t{slots_} * entries_, 0.0f);
  }

  LossSums run(AnchorPlane& plane) {
    for (int a = 0; a < head_.head.anchors; ++a) every_cell(plane, a);
    for (const Match& match : matches_) assign(match);
    if (head_.params.iou_thresh < 1) average();
    sums_.unmatched = count_unmatched(args_, matches_, image_);
    const double factor = -static_cast<double>(head_.params.delta_normalizer) * args_.gradient_scale;
    write_deltas(head_, image_, delta_, factor, sums_);
    return sums_;
  }

 private:
  float* delta(int slot) { return delta_ + std::int64_t{slot} * entries_; }

  // Probabilities of the classes of a cell.
  const float* classes(const float* output) {
    for (int c = 0; c < head_.head.classes; ++c) {
      probabilities_[c] = head_.head.new_coords ? output[5 + c] : sigmoid(output[5 + c]);
    }
    return probabilities_;
  }
  bool passes_gate(const float* output) {
    const float* p = classes(output);
    for (int c = 0; c < head_.head.classes; ++c) {
      if (p[c] > static_cast<float>(kDarknetClassGate)) return true;
    }
    return false;
  }
  void add_box(int slot, const float* output, const Truth& truth, float multiplier) {
    const CellDecoder<double> cell = decoder_of(args_, head_, slot);
    const Box<double> t{output[0], output[1], output[2], output[3]};
    const Box<double> d = darknet_box_delta<double>(head_.params, cell, t, box_of<double>(truth), multiplier);
    delta(slot)[0] += static_cast<float>(d.x);
    delta(slot)[1] += static_cast<float>(d.y);
    delta(slot)[2] += static_cast<float>(d.w);
    delta(slot)[3] += static_cast<float>(d.h);
  }

  // 6.1: background, ignored, and (truth_thresh < 1) positive by overlap alone.
  void every_cell(AnchorPlane& plane, int anchor) {
    const HeadLossParams& p = head_.params;
    plane.decode(head_, image_, anchor, args_.net_w, args_.net_h);
    plane.match(truths_, head_.head.classes);
    for (int i = 0; i < plane.cells; ++i) {
      const int slot = i * head_.head.anchors + anchor;
      const float o = plane.objectness[i], best = plane.best_iou[i];
      float& d = delta(slot)[4];
      d = darknet_background_delta(p, o, best, best > p.ignore_thresh && passes_gate(outputs_of(head_, image_, slot)));
      sums_.other_objectness += o;
      if (best > p.truth_thresh) take_best_truth(slot, o, best);
    }
    sums_.others += plane.cells;
  }

  void take_best_truth(int slot, float o, float best) {
    const HeadLossParams& p = head_.params;
    const float* output = outputs_of(head_, image_, slot);
    const CellDecoder<double> cell = decoder_of(args_, head_, slot);
    const Box<double> box = cell.decode({output[0], output[1], output[2], output[3]});
    const Truth* truth = nullptr;
    double highest = 0;
    for (const Truth& candidate : truths_) {
      if (!is_usable(candidate, head_.head.classes)) continue;
      const double value = iou(box, box_of<double>(candidate));
      if (value > highest) {
        highest = value;
        truth = &candidate;
      }
    }
    if (truth == nullptr) return;
    const float multiplier = class_multiplier(p, truth->cls), target = p.objectness_smooth ? best * best : 1;
    delta(slot)[4] = p.obj_normalizer * (target - o);
    const float* probability = classes(output);
    darknet_class_deltas(p, probability, head_.head.classes, truth->cls, delta(slot) + 5);
    if (p.objectness_smooth) delta(slot)[5 + truth->cls] = multiplier * (target - probability[truth->cls]);
    add_box(slot, output, *truth, multiplier);
  }

  // 6.2
  void assign(const Match& match) {
    const HeadLossParams& p = head_.params;
    const Truth& truth = truths_[static_cast<std::size_t>(match.truth)];
    const float* output = outputs_of(head_, image_, match.slot);
    const float multiplier = class_multiplier(p, truth.cls);
    const float o = head_.head.new_coords ? output[4] : sigmoid(output[4]);
    add_box(match.slot, output, truth, multiplier);
    float& d = delta(match.slot)[4];
    // The trap: with objectness_smooth the background's delta, never exactly 0, stays.
    if (!(p.objectness_smooth && p.smooth_bug && d != 0)) d = multiplier * p.obj_normalizer * (1 - o);
    darknet_class_deltas(p, classes(output), head_.head.classes, truth.cls, delta(match.slot) + 5);
    const Box<double> box = decoder_of(args_, head_, match.slot).decode({output[0], output[1], output[2], output[3]});
    sums_.iou += iou(box, box_of<double>(truth));
    sums_.giou += iou_value(IouKind::giou, box, box_of<double>(truth));
    sums_.positive_objectness += o;
    ++sums_.positives;
    ++sums_.assigned;
  }

  void average() {
    for (int slot = 0; slot < slots_; ++slot) {
      float* d = delta(slot);
      if (d[4] == 0) continue;
      const float count = darknet_classes_up(d + 5, head_.head.classes);
      for (int e = 0; e < 4; ++e) d[e] /= count;
    }
  }

  const YoloLoss& args_;
  const LossHead& head_;
  std::span<const Truth> truths_;
  std::span<const Match> matches_;
  int image_, slots_, entries_;
  float* delta_;          // [slots, entries]
  float* probabilities_;  // [classes]
  LossSums sums_;
};

}  // namespace

void darknet_image(const YoloLoss& args, LossWorkspace& workspace, int image) {
  const int heads = static_cast<int>(args.heads.size());
  for (int h = 0; h < heads; ++h) {
    const Tensor& logits = args.heads[static_cast<std::size_t>(h)].logits;
    ScratchScope scratch;
    AnchorPlane plane(scratch, logits.h * logits.w);
    workspace.sums[image * heads + h] = DarknetHead(args, workspace, image, h, scratch).run(plane);
  }
}

}  // namespace rook::cpu
