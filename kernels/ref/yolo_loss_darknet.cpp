// darknet's yolo loss in double: deltas as darknet computes them, with its quirks (darknet.md 6.1-6.5).
#include <algorithm>

#include "kernels/darknet_delta.h"
#include "kernels/ref/head_io.h"
#include "kernels/ref/yolo_loss.h"

namespace rook::ref {
namespace {

class DarknetHead {
 public:
  DarknetHead(const YoloLoss& args, int head, int image)
      : args_(args),
        head_(args.heads[static_cast<std::size_t>(head)]),
        image_(image),
        slots_(slots_of(head_.head, head_.logits)),
        entries_(head_.head.entries()),
        delta_(static_cast<std::size_t>(slots_) * static_cast<std::size_t>(entries_)) {}

  LossSums run(const std::vector<Match>& matches, int head_index) {
    for (int index = 0; index < slots_; ++index) every_cell(index);
    for (const Match& match : matches) {
      if (match.head == head_index) assign(match);
    }
    if (head_.params.iou_thresh < 1) average();
    for (int t = 0; t < args_.truth_counts[image_]; ++t) {
      sums_.unmatched += std::none_of(matches.begin(), matches.end(),
                                      [&](const Match& match) { return match.head == head_index && match.truth == t; });
    }
    write();
    return sums_;
  }

 private:
  Slot slot(int index) const { return slot_of(head_.head, head_.logits, args_.net_w, args_.net_h, image_, index); }
  double* delta(int index) { return delta_.data() + std::int64_t{index} * entries_; }
  const Truth& truth_at(int t) const { return args_.truths[std::int64_t{image_} * args_.max_truths + t]; }
  std::vector<double> classes(const Slot& s) const {
    std::vector<double> p;
    for (int c = 0; c < head_.head.classes; ++c) p.push_back(s.activated(5 + c));
    return p;
  }
  void add_box(int index, const Slot& s, const Truth& truth, double multiplier) {
    const Box<double> d = darknet_box_delta(head_.params, s.cell, s.outputs(), box_of<double>(truth), multiplier);
    delta(index)[0] += d.x;
    delta(index)[1] += d.y;
    delta(index)[2] += d.w;
    delta(index)[3] += d.h;
  }

  // 6.1: background, ignored, and (truth_thresh < 1) positive by overlap alone.
  void every_cell(int index) {
    const HeadLossParams& p = head_.params;
    const Slot s = slot(index);
    const std::vector<double> probabilities = classes(s);
    const bool class_ok =
        std::any_of(probabilities.begin(), probabilities.end(), [](double value) { return value > kDarknetClassGate; });
    double best = 0;
    int best_truth = -1;
    for (int t = 0; t < args_.truth_counts[image_] && truth_at(t).x != 0; ++t) {
      if (!is_usable(truth_at(t), head_.head.classes)) continue;
      const double value = iou(s.box(), box_of<double>(truth_at(t)));
      if (value > best) {
        best = value;
        best_truth = t;
      }
    }
    const double best_match = class_ok ? best : 0, o = s.activated(4);
    double& d = delta(index)[4];
    d = p.obj_normalizer * (0 - o);
    if (best_match > p.ignore_thresh) d = p.objectness_smooth ? std::max(d, p.obj_normalizer * (best_match - o)) : 0;
    sums_.other_objectness += o;
    ++sums_.others;
    if (best > p.truth_thresh) {
      const Truth& truth = truth_at(best_truth);
      const double multiplier = class_multiplier(p, truth.cls);
      d = p.obj_normalizer * ((p.objectness_smooth ? best * best : 1) - o);
      double* classes_delta = delta(index) + 5;
      darknet_class_deltas(p, probabilities.data(), head_.head.classes, truth.cls, classes_delta);
      if (p.objectness_smooth) {
        classes_delta[truth.cls] = multiplier * (best * best - probabilities[static_cast<std::size_t>(truth.cls)]);
      }
      add_box(index, s, truth, multiplier);
    }
  }

  // 6.2
  void assign(const Match& match) {
    const HeadLossParams& p = head_.params;
    const Truth& truth = truth_at(match.truth);
    const Slot s = slot(match.slot);
    const double multiplier = class_multiplier(p, truth.cls), o = s.activated(4);
    add_box(match.slot, s, truth, multiplier);
    double& d = delta(match.slot)[4];
    // The trap: with objectness_smooth the background's delta, never exactly 0, stays.
    if (!(p.objectness_smooth && p.smooth_bug && d != 0)) d = multiplier * p.obj_normalizer * (1 - o);
    darknet_class_deltas(p, classes(s).data(), head_.head.classes, truth.cls, delta(match.slot) + 5);
    sums_.iou += iou(s.box(), box_of<double>(truth));
    sums_.giou += iou_value(IouKind::giou, s.box(), box_of<double>(truth));
    sums_.positive_objectness += o;
    ++sums_.positives;
    ++sums_.assigned;
  }

  void average() {
    for (int index = 0; index < slots_; ++index) {
      if (delta(index)[4] == 0) continue;
      const double count = darknet_classes_up(delta(index) + 5, head_.head.classes);
      for (int e = 0; e < 4; ++e) delta(index)[e] /= count;
    }
  }

  void write() {
    const double scale = -static_cast<double>(head_.params.delta_normalizer) * args_.gradient_scale;
    for (int index = 0; index < slots_; ++index) {
      const Slot s = slot(index);
      for (int e = 0; e < entries_; ++e) {
        const double value = delta(index)[e];
        (e < 4 ? sums_.box : e == 4 ? sums_.objectness : sums_.classes) += value * value;
        set_logit(head_.dlogits, s.pixel, s.first + e, value * scale);
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

LossSums darknet_head(const YoloLoss& args, int head, int image, const std::vector<Match>& matches) {
  return DarknetHead(args, head, image).run(matches, head);
}

}  // namespace rook::ref
