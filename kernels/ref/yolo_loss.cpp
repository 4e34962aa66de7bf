// The detection loss: assignment of truths, the fixed loss with its true gradient, and the entry point (ops.h,
// darknet.md 6).
#include "kernels/ref/yolo_loss.h"
#include "kernels/step.h"

#include <algorithm>
#include <tuple>

#include "kernels/head_check.h"
#include "kernels/head_loss.h"
#include "kernels/ref/head_io.h"

namespace rook::ref {
namespace {

const Truth& truth_of(const YoloLoss& args, int image, int truth) {
  return args.truths[std::int64_t{image} * args.max_truths + truth];
}

bool any_head_uses(const YoloLoss& args, int anchor) {
  for (const LossHead& head : args.heads) {
    if (std::count(head.head.mask, head.head.mask + head.head.anchors, anchor) > 0) return true;
  }
  return false;
}

// The anchor of the table that fits the truth best; the first of equals.
int best_anchor(const YoloLoss& args, const Box<double>& truth) {
  const LossHead& first = args.heads[0];
  int best = 0;
  double best_iou = -1;
  for (int n = 0; n < first.head.total_anchors; ++n) {
    if (args.mode == LossMode::fixed && !any_head_uses(args, n)) continue;
    const double fit =
        shape_iou(anchor_shape<double>(first.head, n, first.logits.w, first.logits.h, args.net_w, args.net_h), truth);
    if (fit > best_iou) {
      best_iou = fit;
      best = n;
    }
  }
  return best;
}

bool takes(const YoloLoss& args, const LossHead& head, int anchor, const Box<double>& truth) {
  if (!(head.params.iou_thresh < 1)) return false;
  const Box<double> shape =
      anchor_shape<double>(head.head, anchor, head.logits.w, head.logits.h, args.net_w, args.net_h);
  return iou_value(head.params.iou_thresh_kind, shape, Box<double>{0, 0, truth.w, truth.h}) > head.params.iou_thresh;
}

// Everything of one image under one head.
class FixedHead {
 public:
  FixedHead(const YoloLoss& args, const FixedPoint& point, int image, int head, bool gradient)
      : args_(args),
        head_(args.heads[static_cast<std::size_t>(head)]),
        weights_(head_weights<double>(head_.head.kind, head_.params)),
        targets_(
            point.objectness[static_cast<std::size_t>(image) * args.heads.size() + static_cast<std::size_t>(head)]),
        image_(image),
        gradient_(gradient),
        scale_(loss_scale(args.gradient_scale, point.positives)) {
    for (const Match& match : point.matches[static_cast<std::size_t>(image)]) {
      if (match.head == head) matches_.push_back(match);
    }
  }

  LossSums run() {
    for (int index = 0; index < slots_of(head_.head, head_.logits); ++index) {
      slot_ = slot_of(head_.head, head_.logits, args_.net_w, args_.net_h, image_, index);
      slopes_.assign(static_cast<std::size_t>(head_.head.entries()), 0.0);
      std::vector<Match> here;
      for (const Match& match : matches_) {
        if (match.slot == index) here.push_back(match);
      }
      if (!here.empty()) positive(here);
      objectness(here, targets_[static_cast<std::size_t>(index)]);
      for (int e = 0; gradient_ && e < head_.head.entries(); ++e) {
        set_logit(head_.dlogits, slot_.pixel, slot_.first + e, slopes_[static_cast<std::size_t>(e)] * scale_);
      }
    }
    return sums_;
  }

 private:
  double& slope(int entry) { return slopes_[static_cast<std::size_t>(entry)]; }
  double multiplier(const Match& match) const {
    return class_multiplier(head_.params, truth_of(args_, image_, match.truth).cls);
  }

  void objectness(const std::vector<Match>& here, double target) {
    const double output = slot_.entry(4), p = slot_.activated(4);
    double weight = here.empty() ? weights_.no_objectness : 0;
    for (const Match& match : here) weight = std::max(weight, multiplier(match) * weights_.objectness);
    (here.empty() ? sums_.other_objectness : sums_.positive_objectness) += p;
    (here.empty() ? sums_.others : sums_.assigned) += 1;
    if (target == FixedPoint::kIgnored) return;
    const Term<double> term = cross_entropy(probability_of(output, head_.head.new_coords), target);
    sums_.objectness += weight * term.value;
    slope(4) += weight * term.slope;
  }

  void positive(const std::vector<Match>& here) {
    for (const Match& match : here) {
      const Box<double> truth = box_of<double>(truth_of(args_, image_, match.truth));
      const double weight = weights_.box * multiplier(match);
      const BoxTerm<double> term = box_term(head_.params.box_loss, slot_.cell, slot_.outputs(), truth, match.alpha);
      sums_.box += weight * term.value;
      slope(0) += weight * term.slope.x;
      slope(1) += weight * term.slope.y;
      slope(2) += weight * term.slope.w;
      slope(3) += weight * term.slope.h;
      sums_.iou += iou(slot_.box(), truth);
      ++sums_.positives;
      if (head_.head.kind == HeadKind::region && head_.head.softmax) softmax_classes(match);
    }
    if (head_.head.kind != HeadKind::region || !head_.head.softmax) logistic_classes(here);
  }

  // Every match adds the cross-entropy with the union of the classes that were matched here.
  void logistic_classes(const std::vector<Match>& here) {
    for (int c = 0; c < head_.head.classes; ++c) {
      bool wanted = false;
      for (const Match& match : here) wanted = wanted || truth_of(args_, image_, match.truth).cls == c;
      const Probability<double> p = probability_of(slot_.entry(5 + c), head_.head.new_coords);
      const Term<double> term = class_term(head_.params, p, wanted);
      const double weight =
          weights_.classes * (wanted ? class_multiplier(head_.params, c) : 1.0f) * static_cast<double>(here.size());
      sums_.classes += weight * term.value;
      slope(5 + c) += weight * term.slope;
    }
  }

  // -sum_c y_c ln p_c, or -1/2 (1 - p)^2 ln p of the truth's class.
  void softmax_classes(const Match& match) {
    const int classes = head_.head.classes, wanted = truth_of(args_, image_, match.truth).cls;
    const double weight = weights_.classes * multiplier(match), eps = head_.params.label_smooth_eps;
    double largest = slot_.entry(5), sum = 0;
    for (int c = 1; c < classes; ++c) largest = std::max(largest, slot_.entry(5 + c));
    for (int c = 0; c < classes; ++c) sum += std::exp(slot_.entry(5 + c) - largest);
    const auto log_p = [&](int c) { return slot_.entry(5 + c) - largest - std::log(sum); };
    const double pt = std::exp(log_p(wanted));
    for (int c = 0; c < classes; ++c) {
      const double hit = c == wanted ? 1 : 0, p = std::exp(log_p(c));
      if (head_.params.focal_loss) {
        sums_.classes -= weight * hit * (1 - p) * (1 - p) * log_p(c) / 2;
        slope(5 + c) += weight * (hit - p) * (1 - pt) * (2 * pt * log_p(wanted) + pt - 1) / 2;
      } else {
        const double y = hit * (1 - eps) + eps / classes;
        sums_.classes -= weight * y * log_p(c);
        slope(5 + c) += weight * (p - y);
      }
    }
  }

  const YoloLoss& args_;
  const LossHead& head_;
  HeadWeights<double> weights_;
  const std::vector<double>& targets_;
  int image_;
  bool gradient_;
  double scale_;
  std::vector<Match> matches_;
  Slot slot_;
  std::vector<double> slopes_;
  LossSums sums_;
};

// Objectness targets of one image under one head: 0, ignored where a box is good but not assigned, 1 or the IoU where
// it is.
std::vector<double> objectness_targets(const YoloLoss& args, int image, int head_index,
                                       const std::vector<Match>& matches) {
  const LossHead& head = args.heads[static_cast<std::size_t>(head_index)];
  const HeadWeights<double> weights = head_weights<double>(head.head.kind, head.params);
  std::vector<double> targets(static_cast<std::size_t>(slots_of(head.head, head.logits)), 0.0);
  for (int index = 0; index < slots_of(head.head, head.logits); ++index) {
    const Box<double> box = slot_of(head.head, head.logits, args.net_w, args.net_h, image, index).box();
    double& target = targets[static_cast<std::size_t>(index)];
    for (int t = 0; t < args.truth_counts[image]; ++t) {
      const Truth& truth = truth_of(args, image, t);
      if (is_usable(truth, head.head.classes) && iou(box, box_of<double>(truth)) > weights.ignore) {
        target = FixedPoint::kIgnored;
      }
    }
    bool assigned = false;
    double best = 0;
    for (const Match& match : matches) {
      if (match.head != head_index || match.slot != index) continue;
      assigned = true;
      best = std::max(best, iou(box, box_of<double>(truth_of(args, image, match.truth))));
    }
    if (assigned) target = weights.iou_target ? best : 1;
  }
  return targets;
}

}  // namespace

std::vector<Match> match_truths(const YoloLoss& args, int image, std::int32_t& unmatched) {
  std::vector<Match> matches;
  unmatched = 0;
  for (int t = 0; t < args.truth_counts[image]; ++t) {
    const Truth& truth = truth_of(args, image, t);
    if (args.mode == LossMode::darknet && truth.x == 0) {  // ends darknet's list of truths
      unmatched += args.truth_counts[image] - t;
      break;
    }
    const std::size_t before = matches.size();
    if (is_usable(truth, args.heads[0].head.classes)) {
      const Box<double> box = box_of<double>(truth);
      const int best = best_anchor(args, box);
      for (std::size_t h = 0; h < args.heads.size(); ++h) {
        const LossHead& head = args.heads[h];
        const int col = cell_of(truth.x, head.logits.w), row = cell_of(truth.y, head.logits.h);
        for (int a = 0; a < head.head.anchors; ++a) {
          const int n = head.head.mask[a];
          if (n != best && !takes(args, head, n, box)) continue;
          matches.push_back({static_cast<int>(h), (row * head.logits.w + col) * head.head.anchors + a, t});
        }
      }
    }
    unmatched += matches.size() == before;
  }
  std::sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) {
    return std::tie(a.head, a.slot, a.truth) < std::tie(b.head, b.slot, b.truth);
  });
  return matches;
}

FixedPoint fixed_point(const YoloLoss& args) {
  FixedPoint point;
  const int images = args.heads[0].logits.n;
  point.unmatched.resize(static_cast<std::size_t>(images));
  for (int n = 0; n < images; ++n) {
    std::vector<Match> matches = match_truths(args, n, point.unmatched[static_cast<std::size_t>(n)]);
    for (Match& match : matches) {
      const LossHead& head = args.heads[static_cast<std::size_t>(match.head)];
      const Slot slot = slot_of(head.head, head.logits, args.net_w, args.net_h, n, match.slot);
      match.alpha = ciou_alpha(slot.box(), box_of<double>(truth_of(args, n, match.truth)));
    }
    point.positives += static_cast<std::int64_t>(matches.size());
    for (std::size_t h = 0; h < args.heads.size(); ++h) {
      point.objectness.push_back(objectness_targets(args, n, static_cast<int>(h), matches));
    }
    point.matches.push_back(std::move(matches));
  }
  return point;
}

std::vector<LossSums> fixed_sums(const YoloLoss& args, const FixedPoint& point, bool gradient) {
  std::vector<LossSums> sums;
  for (int n = 0; n < args.heads[0].logits.n; ++n) {
    for (std::size_t h = 0; h < args.heads.size(); ++h) {
      sums.push_back(FixedHead(args, point, n, static_cast<int>(h), gradient).run());
      for (int t = 0; t < args.truth_counts[n]; ++t) {
        const std::vector<Match>& matches = point.matches[static_cast<std::size_t>(n)];
        sums.back().unmatched += std::none_of(matches.begin(), matches.end(), [&](const Match& match) {
          return match.truth == t && match.head == static_cast<int>(h);
        });
      }
    }
  }
  return sums;
}

double fixed_loss(const YoloLoss& args, const FixedPoint& point) {
  double sum = 0;
  for (const LossSums& s : fixed_sums(args, point, false)) sum += s.box + s.objectness + s.classes;
  return sum * loss_scale(args.gradient_scale, point.positives);
}

std::size_t yolo_loss_workspace(const YoloLoss&) {
  return 0;
}

void yolo_loss(const YoloLoss& given, Stream) {
  const YoloLoss args = with_step(given);
  check_yolo_loss(args, Device::cpu, {DType::f32, DType::f64}, {DType::f32, DType::bf16, DType::f64});
  if (args.mode == LossMode::fixed) {
    const FixedPoint point = fixed_point(args);
    write_loss(args, fixed_sums(args, point, true).data(), point.unmatched.data());
    return;
  }
  std::vector<LossSums> sums;
  std::vector<std::int32_t> unmatched(static_cast<std::size_t>(args.heads[0].logits.n));
  for (int n = 0; n < args.heads[0].logits.n; ++n) {
    std::int32_t& lost = unmatched[static_cast<std::size_t>(n)];
    if (args.heads[0].head.kind == HeadKind::region) {
      sums.push_back(darknet_region(args, n, lost));
      continue;
    }
    const std::vector<Match> matches = match_truths(args, n, lost);
    for (std::size_t h = 0; h < args.heads.size(); ++h) {
      sums.push_back(darknet_head(args, static_cast<int>(h), n, matches));
    }
  }
  write_loss(args, sums.data(), unmatched.data());
}

}  // namespace rook::ref
