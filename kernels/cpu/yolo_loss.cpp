// The detection loss: fixed mode with the true gradient (formulas in head_loss.h), and the entry point. Background is
// nearly everything and touches one output per anchor, in vectors; boxes and objectness of the few positives are
// computed in double.
#include "kernels/cpu/yolo_loss.h"
#include "kernels/step.h"

#include <cstring>
#include <limits>

#include "base/error.h"
#include "kernels/cpu/activation.h"
#include "kernels/head_check.h"
#include "kernels/head_loss.h"

namespace rook::cpu {
namespace {

// log(1 + e) for e in [0, 1]: 2 atanh(e / (2 + e)) by its series, relative error 1e-8.
template <class V>
V log_one_plus(V e) {
  const V s = e / (e + 2.0f), s2 = s * s;
  V p = s2 * (1 / 13.0f) + 1 / 11.0f;
  p = p * s2 + 1 / 9.0f;
  p = p * s2 + 1 / 7.0f;
  p = p * s2 + 1 / 5.0f;
  p = p * s2 + 1 / 3.0f;
  return 2.0f * (s + s * s2 * p);
}

// Cross-entropy of objectness with target 0, and its slope by the output.
void background_terms(const AnchorPlane& plane, bool activated, float* value, float* slope) {
  if (activated) {
    for (int i = 0; i < plane.cells; ++i) {
      const Term<float> term = cross_entropy(probability_of(plane.output[i], true), 0.0f);
      value[i] = term.value;
      slope[i] = term.slope;
    }
    return;
  }
  for (int i = 0; i < plane.padded; i += kLanes) {
    const Vec z = load(plane.output + i);
    store(value + i, max_of(z, 0.0f) + log_one_plus(exp_of(-absolute(z))));
    store(slope + i, load(plane.objectness + i));
  }
}

void put(const Tensor& t, std::int64_t i, double value) {
  if (t.dtype == DType::bf16) {
    t.as<std::uint16_t>()[i] = float_to_bf16(static_cast<float>(value));
  } else {
    t.as<float>()[i] = static_cast<float>(value);
  }
}

class FixedHead {
 public:
  FixedHead(const YoloLoss& args, const LossWorkspace& workspace, int image, int head, double scale)
      : args_(args),
        head_(args.heads[static_cast<std::size_t>(head)]),
        weights_(head_weights<double>(head_.head.kind, head_.params)),
        matches_(matches_of_head(args, workspace, image, head)),
        image_(image),
        entries_(head_.head.entries()),
        scale_(scale) {}

  LossSums run() {
    clear();
    const int cells = head_.logits.h * head_.logits.w;
    ScratchScope scratch;
    AnchorPlane plane(scratch, cells);
    float* value = scratch.floats(plane.padded);
    float* slope = scratch.floats(plane.padded);
    for (int a = 0; a < head_.head.anchors; ++a) background(plane, a, value, slope);
    float* slopes = scratch.floats(entries_);
    bool* wanted = scratch.take<bool>(head_.head.classes);
    for (std::size_t first = 0, end = 0; first < matches_.size(); first = end) {
      while (end < matches_.size() && matches_[end].slot == matches_[first].slot) ++end;
      positive(matches_.subspan(first, end - first), slopes, wanted);
    }
    sums_.positives = static_cast<std::int64_t>(matches_.size());
    sums_.unmatched = count_unmatched(args_, matches_, image_);
    return sums_;
  }

 private:
  const Truth& truth_of(const Match& match) const {
    return args_.truths[std::int64_t{image_} * args_.max_truths + match.truth];
  }
  std::int64_t gradient_index(int slot) const {
    const Tensor& t = head_.dlogits;
    return (std::int64_t{image_} * t.h * t.w + slot / head_.head.anchors) * t.pitch +
           slot % head_.head.anchors * entries_;
  }
  void clear() const {
    const Tensor& t = head_.dlogits;
    const std::int64_t pixels = std::int64_t{t.h} * t.w;
    for (std::int64_t pixel = image_ * pixels; pixel < (image_ + 1) * pixels; ++pixel) {
      std::memset(static_cast<std::byte*>(t.data) + static_cast<std::size_t>(pixel * t.pitch) * size_of(t.dtype), 0,
                  static_cast<std::size_t>(t.c) * size_of(t.dtype));
    }
  }

  // Objectness of all cells that no truth took; none where a box is good though not assigned.
  void background(AnchorPlane& plane, int anchor, float* value, float* slope) {
    const int anchors = head_.head.anchors;
    plane.decode(head_, image_, anchor, args_.net_w, args_.net_h);
    plane.match(truths_of(args_, image_), head_.head.classes);
    background_terms(plane, head_.head.new_coords, value, slope);
    int assigned = 0;
    double assigned_objectness = 0;
    for (std::size_t i = 0; i < matches_.size(); ++i) {
      const int slot = matches_[i].slot;
      if (slot % anchors != anchor || (i > 0 && matches_[i - 1].slot == slot)) continue;
      plane.best_iou[slot / anchors] = std::numeric_limits<float>::infinity();
      assigned_objectness += plane.objectness[slot / anchors];
      ++assigned;
    }
    const float ignore = static_cast<float>(weights_.ignore);
    const double weight = weights_.no_objectness * scale_;
    double sum = 0, objectness = 0;
    for (int i = 0; i < plane.cells; ++i) {
      objectness += plane.objectness[i];
      if (plane.best_iou[i] > ignore) continue;
      sum += value[i];
      put(head_.dlogits, gradient_index(i * anchors + anchor) + 4, slope[i] * weight);
    }
    sums_.objectness += weights_.no_objectness * sum;
    sums_.other_objectness += objectness - assigned_objectness;
    sums_.positive_objectness += assigned_objectness;
    sums_.others += plane.cells - assigned;
    sums_.assigned += assigned;
  }

  // One anchor cell that the truths of `here` took.
  void positive(std::span<const Match> here, float* slopes, bool* wanted) {
    const float* output = outputs_of(head_, image_, here[0].slot);
    const CellDecoder<double> cell = decoder_of(args_, head_, here[0].slot);
    const Box<double> t{output[0], output[1], output[2], output[3]}, box = cell.decode(t);
    Box<double> box_slope;
    double best = 0, multiplier = 0;
    std::fill_n(slopes, entries_, 0.0f);
    std::fill_n(wanted, head_.head.classes, false);
    for (const Match& match : here) {
      const Truth& truth = truth_of(match);
      const Box<double> target = box_of<double>(truth);
      const double m = class_multiplier(head_.params, truth.cls), overlap = iou(box, target);
      const BoxTerm<double> term = box_term(head_.params.box_loss, cell, t, target, ciou_alpha(box, target));
      box_slope = combine(1.0, box_slope, weights_.box * m, term.slope);
      sums_.box += weights_.box * m * term.value;
      sums_.iou += overlap;
      best = std::max(best, overlap);
      multiplier = std::max(multiplier, m);
      wanted[truth.cls] = true;
      if (is_softmax()) softmax_classes(truth.cls, m, output + 5, slopes + 5);
    }
    if (!is_softmax()) logistic_classes(wanted, static_cast<double>(here.size()), output + 5, slopes + 5);
    const double goal = weights_.iou_target ? best : 1, weight = weights_.objectness * multiplier;
    const Term<double> term = cross_entropy(probability_of<double>(output[4], head_.head.new_coords), goal);
    sums_.objectness += weight * term.value;
    const std::int64_t place = gradient_index(here[0].slot);
    put(head_.dlogits, place, box_slope.x * scale_);
    put(head_.dlogits, place + 1, box_slope.y * scale_);
    put(head_.dlogits, place + 2, box_slope.w * scale_);
    put(head_.dlogits, place + 3, box_slope.h * scale_);
    put(head_.dlogits, place + 4, weight * term.slope * scale_);
    for (int e = 5; e < entries_; ++e) put(head_.dlogits, place + e, slopes[e] * scale_);
  }

  bool is_softmax() const { return head_.head.kind == HeadKind::region && head_.head.softmax; }

  // Every match adds the cross-entropy with the union of the classes that were matched here.
  void logistic_classes(const bool* wanted, double matches, const float* output, float* slopes) {
    double sum = 0;
    for (int c = 0; c < head_.head.classes; ++c) {
      const Term<float> term = class_term(head_.params, probability_of(output[c], head_.head.new_coords), wanted[c]);
      const double weight = weights_.classes * matches * (wanted[c] ? class_multiplier(head_.params, c) : 1.0f);
      sum += weight * term.value;
      slopes[c] = static_cast<float>(weight * term.slope);
    }
    sums_.classes += sum;
  }

  // Adds the cross-entropy (or focal loss) of the softmax for one match.
  void softmax_classes(int cls, double multiplier, const float* output, float* slopes) {
    const int classes = head_.head.classes;
    const double weight = weights_.classes * multiplier;
    double largest = output[0], sum = 0;
    for (int c = 1; c < classes; ++c) largest = std::max<double>(largest, output[c]);
    for (int c = 0; c < classes; ++c) sum += std::exp(output[c] - largest);
    const double log_sum = largest + std::log(sum), log_pt = output[cls] - log_sum;
    for (int c = 0; c < classes; ++c) {
      const Term<double> term = softmax_term(head_.params, classes, c == cls, output[c] - log_sum, log_pt);
      sums_.classes += weight * term.value;
      slopes[c] += static_cast<float>(weight * term.slope);
    }
  }

  const YoloLoss& args_;
  const LossHead& head_;
  HeadWeights<double> weights_;
  std::span<const Match> matches_;
  int image_, entries_;
  double scale_;
  LossSums sums_;
};

}  // namespace

void fixed_image(const YoloLoss& args, LossWorkspace& workspace, int image, double scale) {
  const int heads = static_cast<int>(args.heads.size());
  for (int h = 0; h < heads; ++h) {
    workspace.sums[image * heads + h] = FixedHead(args, workspace, image, h, scale).run();
  }
}

std::size_t yolo_loss_workspace(const YoloLoss& args) {
  if (args.heads.empty()) throw Error("yolo_loss: no heads");
  return LossWorkspace(args, nullptr).bytes;
}

void yolo_loss(const YoloLoss& given, Stream) {
  const YoloLoss args = with_step(given);
  check_yolo_loss(args, Device::cpu, {DType::f32}, {DType::f32, DType::bf16});
  if (args.workspace == nullptr) throw Error("yolo_loss: no workspace; give yolo_loss_workspace(args) bytes");
  const int images = args.heads[0].logits.n;
  LossWorkspace workspace(args, args.workspace);
  const bool region = args.heads[0].head.kind == HeadKind::region, darknet = args.mode == LossMode::darknet;
  std::int64_t positives = 0;
  for (int n = 0; n < images && !(darknet && region); ++n) {
    match_truths(args, n, workspace);
    positives += workspace.match_counts[n];
  }
  const double scale = loss_scale(args.gradient_scale, positives);
#pragma omp parallel for schedule(dynamic) if (images > 1)
  for (int n = 0; n < images; ++n) {
    if (!darknet) {
      fixed_image(args, workspace, n, scale);
    } else if (region) {
      region_image(args, workspace, n);
    } else {
      darknet_image(args, workspace, n);
    }
  }
  write_loss(args, workspace.sums, workspace.unmatched);
}

}  // namespace rook::cpu
