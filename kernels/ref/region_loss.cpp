// darknet's region loss (YOLOv2) in double (darknet.md 6.6).
#include <algorithm>

#include "kernels/darknet_delta.h"
#include "kernels/ref/head_io.h"
#include "kernels/ref/yolo_loss.h"

namespace rook::ref {
namespace {

class DarknetRegion {
 public:
  DarknetRegion(const YoloLoss& args, int image)
      : args_(args),
        head_(args.heads[0]),
        image_(image),
        slots_(slots_of(head_.head, head_.logits)),
        entries_(head_.head.entries()),
        delta_(static_cast<std::size_t>(slots_) * static_cast<std::size_t>(entries_)) {}

  LossSums run(std::int32_t& unmatched) {
    for (int index = 0; index < slots_; ++index) every_cell(index);
    for (int t = 0; t < args_.truth_counts[image_]; ++t) {
      const Truth& truth = truth_at(t);
      if (truth.x == 0) {  // ends the list
        sums_.unmatched += args_.truth_counts[image_] - t;
        break;
      }
      if (is_usable(truth, head_.head.classes)) {
        assign(truth);
      } else {
        ++sums_.unmatched;
      }
    }
    unmatched = static_cast<std::int32_t>(sums_.unmatched);
    write();
    return sums_;
  }

 private:
  Slot slot(int index) const { return slot_of(head_.head, head_.logits, args_.net_w, args_.net_h, image_, index); }
  double* delta(int index) { return delta_.data() + std::int64_t{index} * entries_; }
  const Truth& truth_at(int t) const { return args_.truths[std::int64_t{image_} * args_.max_truths + t]; }
  void set_box(int index, const Slot& s, const Box<double>& truth, double scale) {
    const Box<double> d = region_box_delta(s.cell, s.outputs(), truth, scale);
    delta(index)[0] = d.x;
    delta(index)[1] = d.y;
    delta(index)[2] = d.w;
    delta(index)[3] = d.h;
  }

  void every_cell(int index) {
    const Slot s = slot(index);
    const double o = s.activated(4);
    double best = 0;
    for (int t = 0; t < args_.truth_counts[image_] && truth_at(t).x != 0; ++t) {
      if (is_usable(truth_at(t), head_.head.classes)) best = std::max(best, iou(s.box(), box_of<double>(truth_at(t))));
    }
    delta(index)[4] = best > head_.params.thresh ? 0 : head_.params.noobject_scale * (0 - o) * o * (1 - o);
    if (args_.seen < kRegionWarmup) {
      const Box<double> prior{(s.cell.col + 0.5) / s.cell.grid_w, (s.cell.row + 0.5) / s.cell.grid_h, s.cell.anchor_w,
                              s.cell.anchor_h};
      set_box(index, s, prior, kRegionPriorScale);
    }
    sums_.other_objectness += o;
    ++sums_.others;
  }

  // The anchor whose box (bias_match: whose prior) has the truth's shape; anchor 0 where none overlaps.
  int best_slot(const Truth& truth) const {
    const int cell = cell_of(truth.y, head_.logits.h) * head_.logits.w + cell_of(truth.x, head_.logits.w);
    int best = cell * head_.head.anchors;
    double best_iou = 0;
    for (int a = 0; a < head_.head.anchors; ++a) {
      const Slot s = slot(cell * head_.head.anchors + a);
      Box<double> shape = s.box();
      if (head_.params.bias_match) shape = {0, 0, s.cell.anchor_w, s.cell.anchor_h};
      const double fit = shape_iou(shape, box_of<double>(truth));
      if (fit > best_iou) {
        best_iou = fit;
        best = cell * head_.head.anchors + a;
      }
    }
    return best;
  }

  void assign(const Truth& truth) {
    const HeadLossParams& p = head_.params;
    const int index = best_slot(truth);
    const Slot s = slot(index);
    const double overlap = iou(s.box(), box_of<double>(truth)), o = s.activated(4);
    set_box(index, s, box_of<double>(truth), p.coord_scale);
    delta(index)[4] = p.object_scale * ((p.rescore ? overlap : 1) - o) * o * (1 - o);
    const std::vector<double> probability = classes(s);
    const double factor = p.focal_loss ? darknet_focal(probability[static_cast<std::size_t>(truth.cls)]) : 1;
    for (int c = 0; c < head_.head.classes; ++c) {
      const double y = c == truth.cls ? 1 : 0;
      delta(index)[5 + c] = p.class_scale * (y - probability[static_cast<std::size_t>(c)]) * factor;
    }
    sums_.iou += overlap;
    sums_.positive_objectness += o;
    ++sums_.positives;
    ++sums_.assigned;
  }

  std::vector<double> classes(const Slot& s) const {
    std::vector<double> p;
    double largest = s.entry(5), sum = 0;
    for (int c = 1; c < head_.head.classes; ++c) largest = std::max(largest, s.entry(5 + c));
    for (int c = 0; c < head_.head.classes; ++c) {
      p.push_back(head_.head.softmax ? std::exp(s.entry(5 + c) - largest) : s.activated(5 + c));
      sum += p.back();
    }
    for (double& value : p) value /= head_.head.softmax ? sum : 1;
    return p;
  }

  void write() {
    for (int index = 0; index < slots_; ++index) {
      const Slot s = slot(index);
      for (int e = 0; e < entries_; ++e) {
        const double value = delta(index)[e];
        (e < 4 ? sums_.box : e == 4 ? sums_.objectness : sums_.classes) += value * value;
        set_logit(head_.dlogits, s.pixel, s.first + e, -value * args_.gradient_scale);
      }
    }
  }

  const YoloLoss& args_;
  const LossHead& head_;
  int image_, slots_, entries_;
  std::vector<double> delta_;
  LossSums sums_;
};

}  // namespace

LossSums darknet_region(const YoloLoss& args, int image, std::int32_t& unmatched) {
  return DarknetRegion(args, image).run(unmatched);
}

}  // namespace rook::ref
