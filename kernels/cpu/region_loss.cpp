// darknet's region loss (YOLOv2; darknet.md 6.6).
#include "kernels/cpu/yolo_loss.h"
#include "kernels/darknet_delta.h"

namespace rook::cpu {
namespace {

class DarknetRegion {
 public:
  DarknetRegion(const YoloLoss& args, int image, ScratchScope& scratch)
      : args_(args),
        head_(args.heads[0]),
        truths_(truths_of(args, image)),
        image_(image),
        slots_(head_.logits.h * head_.logits.w * head_.head.anchors),
        entries_(head_.head.entries()),
        delta_(scratch.floats(std::int64_t{slots_} * entries_)),
        probabilities_(scratch.floats(head_.head.classes)) {
    std::fill_n(delta_, std::int64_t{slots_} * entries_, 0.0f);
  }

  LossSums run(AnchorPlane& plane) {
    for (int a = 0; a < head_.head.anchors; ++a) every_cell(plane, a);
    sums_.unmatched = args_.truth_counts[image_] - static_cast<std::int64_t>(truths_.size());
    for (const Truth& truth : truths_) {
      if (is_usable(truth, head_.head.classes)) {
        assign(truth);
      } else {
        ++sums_.unmatched;
      }
    }
    write_deltas(head_, image_, delta_, -static_cast<double>(args_.gradient_scale), sums_);
    return sums_;
  }

 private:
  float* delta(int slot) { return delta_ + std::int64_t{slot} * entries_; }
  void set_box(int slot, const CellDecoder<double>& cell, const Box<double>& truth, double scale) {
    const float* output = outputs_of(head_, image_, slot);
    const Box<double> d = region_box_delta(cell, {output[0], output[1], output[2], output[3]}, truth, scale);
    delta(slot)[0] = static_cast<float>(d.x);
    delta(slot)[1] = static_cast<float>(d.y);
    delta(slot)[2] = static_cast<float>(d.w);
    delta(slot)[3] = static_cast<float>(d.h);
  }

  void every_cell(AnchorPlane& plane, int anchor) {
    plane.decode(head_, image_, anchor, args_.net_w, args_.net_h);
    plane.match(truths_, head_.head.classes);
    for (int i = 0; i < plane.cells; ++i) {
      const int slot = i * head_.head.anchors + anchor;
      const float o = plane.objectness[i];
      delta(slot)[4] =
          plane.best_iou[i] > head_.params.thresh ? 0 : region_objectness_delta(head_.params.noobject_scale, 0.0f, o);
      sums_.other_objectness += o;
      if (args_.seen >= kRegionWarmup) continue;
      const CellDecoder<double> cell = decoder_of(args_, head_, slot);
      const Box<double> prior{(cell.col + 0.5) / cell.grid_w, (cell.row + 0.5) / cell.grid_h, cell.anchor_w,
                              cell.anchor_h};
      set_box(slot, cell, prior, kRegionPriorScale);
    }
    sums_.others += plane.cells;
  }

  Box<double> box_at(int slot, const CellDecoder<double>& cell) const {
    const float* output = outputs_of(head_, image_, slot);
    return cell.decode({output[0], output[1], output[2], output[3]});
  }

  void assign(const Truth& truth) {
    const HeadLossParams& p = head_.params;
    const int slot = region_slot(args_, image_, truth);
    const float* output = outputs_of(head_, image_, slot);
    const CellDecoder<double> cell = decoder_of(args_, head_, slot);
    const float overlap = static_cast<float>(iou(box_at(slot, cell), box_of<double>(truth))), o = sigmoid(output[4]);
    set_box(slot, cell, box_of<double>(truth), p.coord_scale);
    delta(slot)[4] = region_objectness_delta(p.object_scale, p.rescore ? overlap : 1.0f, o);
    fill_probabilities(output + 5);
    const float factor = p.focal_loss ? darknet_focal(probabilities_[truth.cls]) : 1;
    for (int c = 0; c < head_.head.classes; ++c) {
      delta(slot)[5 + c] = p.class_scale * (static_cast<float>(c == truth.cls) - probabilities_[c]) * factor;
    }
    sums_.iou += overlap;
    sums_.positive_objectness += o;
    ++sums_.positives;
    ++sums_.assigned;
  }

  void fill_probabilities(const float* output) {
    const int classes = head_.head.classes;
    if (!head_.head.softmax) {
      for (int c = 0; c < classes; ++c) probabilities_[c] = sigmoid(output[c]);
      return;
    }
    float largest = output[0], sum = 0;
    for (int c = 1; c < classes; ++c) largest = std::max(largest, output[c]);
    for (int c = 0; c < classes; ++c) {
      probabilities_[c] = std::exp(output[c] - largest);
      sum += probabilities_[c];
    }
    for (int c = 0; c < classes; ++c) probabilities_[c] /= sum;
  }

  const YoloLoss& args_;
  const LossHead& head_;
  std::span<const Truth> truths_;
  int image_, slots_, entries_;
  float* delta_;          // [slots, entries]
  float* probabilities_;  // [classes]
  LossSums sums_;
};

}  // namespace

int region_slot(const YoloLoss& args, int image, const Truth& truth) {
  const LossHead& head = args.heads[0];
  const int cell_index = cell_of(truth.y, head.logits.h) * head.logits.w + cell_of(truth.x, head.logits.w);
  int best = cell_index * head.head.anchors;
  double best_iou = 0;
  for (int a = 0; a < head.head.anchors; ++a) {
    const int slot = cell_index * head.head.anchors + a;
    const CellDecoder<double> cell = decoder_of(args, head, slot);
    const float* output = outputs_of(head, image, slot);
    const Box<double> shape = head.params.bias_match ? Box<double>{0, 0, cell.anchor_w, cell.anchor_h}
                                                     : cell.decode({output[0], output[1], output[2], output[3]});
    const double fit = shape_iou(shape, box_of<double>(truth));
    if (fit > best_iou) {
      best_iou = fit;
      best = slot;
    }
  }
  return best;
}

void region_image(const YoloLoss& args, LossWorkspace& workspace, int image) {
  ScratchScope scratch;
  AnchorPlane plane(scratch, args.heads[0].logits.h * args.heads[0].logits.w);
  workspace.sums[image] = DarknetRegion(args, image, scratch).run(plane);
  workspace.unmatched[image] = static_cast<std::int32_t>(workspace.sums[image].unmatched);
}

}  // namespace rook::cpu
