// Deltas of darknet's yolo loss as darknet computes them, approximations included (darknet.md 6.3, 6.4): what the
// darknet mode of yolo_loss reproduces. delta = -dL/d(output). As box.h: formulas over float or double, for the
// host and for kernels.
//
// The box gradient is not that of any loss: width and height lack the factor 1/2, the chain rule lacks anchor, grid and
// sigma', apart boxes with plain IoU get a gradient from the product of two negative overlaps, and DIoU's term in x and
// y has one sign turned. iou_term of box.h is the true one.
#pragma once

#include "kernels/head_loss.h"

namespace rook {

// A value per edge of the predicted box.
template <class F>
struct Edges {
  F left = 0, top = 0, right = 0, bottom = 0;
};

template <class F>
ROOK_HOST_DEVICE constexpr Edges<F> edges_of(const Box<F>& b) {
  return {b.x - b.w / 2, b.y - b.h / 2, b.x + b.w / 2, b.y + b.h / 2};
}

// d(n / d) = (d dn - n dd) / d^2 for each edge.
template <class F>
ROOK_HOST_DEVICE constexpr Edges<F> quotient_rule(F n, const Edges<F>& dn, F d, const Edges<F>& dd) {
  return {(d * dn.left - n * dd.left) / (d * d), (d * dn.top - n * dd.top) / (d * d),
          (d * dn.right - n * dd.right) / (d * d), (d * dn.bottom - n * dd.bottom) / (d * d)};
}

// DIoU's and CIoU's terms; `apart` boxes get nothing else.
template <class F>
ROOK_HOST_DEVICE constexpr Box<F> darknet_centre_delta(BoxLoss loss, const Box<F>& p, const Box<F>& t, F iou_ratio,
                                                       bool apart, const Box<F>& overlap_delta) {
  const Edges<F> pe = edges_of(p), te = edges_of(t);
  const F cw = std::max(pe.right, te.right) - std::min(pe.left, te.left);
  const F ch = std::max(pe.bottom, te.bottom) - std::min(pe.top, te.top);
  const F c = cw * cw + ch * ch, s = (p.x - t.x) * (p.x - t.x) + (p.y - t.y) * (p.y - t.y);
  const F left = pe.left < te.left ? F(1) : F(0), right = pe.right > te.right ? F(1) : F(0);
  const F top = pe.top < te.top ? F(1) : F(0), bottom = pe.bottom > te.bottom ? F(1) : F(0);
  Box<F> delta{(2 * (t.x - p.x) * c - 2 * cw * (right - left) * s) / (c * c),
               (2 * (t.y - p.y) * c - 2 * ch * (bottom - top) * s) / (c * c), cw * (right + left) * s / (c * c),
               ch * (bottom + top) * s / (c * c)};
  if (loss == BoxLoss::ciou) {
    const F difference = std::atan(t.w / t.h) - std::atan(p.w / p.h);
    const F v = F(kFourOverPiSquared) * difference * difference;
    const F alpha = v / (1 - iou_ratio + v + F(1e-6));
    delta.w += alpha * F(2 * kFourOverPiSquared) * difference * p.h;
    delta.h -= alpha * F(2 * kFourOverPiSquared) * difference * p.w;
  }
  return apart ? delta : combine(F(1), overlap_delta, F(1), delta);
}

// "Gradient" of the IoU family with respect to the predicted box.
template <class F>
ROOK_HOST_DEVICE constexpr Box<F> darknet_iou_delta(BoxLoss loss, Box<F> p, const Box<F>& t) {
  if (p.w == 0) p.w = 1;
  if (p.h == 0) p.h = 1;
  const Edges<F> pe = edges_of(p), te = edges_of(t);
  const F iw = std::min(pe.right, te.right) - std::max(pe.left, te.left);
  const F ih = std::min(pe.bottom, te.bottom) - std::max(pe.top, te.top);
  const F i = iw * ih, u = p.w * p.h + t.w * t.h - i;  // i > 0 also when both overlaps are negative
  const bool apart = iw <= 0 || ih <= 0;
  const Edges<F> di{pe.left > te.left ? -ih : F(0), pe.top > te.top ? -iw : F(0), pe.right < te.right ? ih : F(0),
                    pe.bottom < te.bottom ? iw : F(0)};
  const Edges<F> du{-p.h - di.left, -p.w - di.top, p.h - di.right, p.w - di.bottom};
  Edges<F> d;
  if (u > 0) d = quotient_rule(i, di, u, du);
  if (loss == BoxLoss::giou) {
    const F cw = std::max(pe.right, te.right) - std::min(pe.left, te.left);
    const F ch = std::max(pe.bottom, te.bottom) - std::min(pe.top, te.top);
    const Edges<F> dc{pe.left < te.left ? -ch : F(0), pe.top < te.top ? -cw : F(0), pe.right > te.right ? ch : F(0),
                      pe.bottom > te.bottom ? cw : F(0)};
    const Edges<F> g = quotient_rule(u, du, cw * ch, dc);
    d = apart ? g : Edges<F>{d.left + g.left, d.top + g.top, d.right + g.right, d.bottom + g.bottom};
  }
  const Box<F> delta{d.left + d.right, d.top + d.bottom, d.right - d.left, d.bottom - d.top};
  const bool centres = loss == BoxLoss::diou || loss == BoxLoss::ciou;
  return centres ? darknet_centre_delta(loss, p, t, i / u, apart, delta) : delta;
}

// 0 where not finite, within +-limit.
template <class F>
ROOK_HOST_DEVICE constexpr F tamed(F value, F limit) {
  if (!(value - value == 0)) return 0;
  return std::max(-limit, std::min(limit, value));
}

// Delta of the four outputs for one assignment, to be added. `multiplier` is that of the class.
template <class F>
ROOK_HOST_DEVICE constexpr Box<F> darknet_box_delta(const HeadLossParams& params, const CellDecoder<F>& cell,
                                                    const Box<F>& t, const Box<F>& truth, F multiplier) {
  const F weight = F(params.iou_normalizer) * multiplier;
  if (params.box_loss == BoxLoss::mse) {
    const Box<F> target = output_target(cell, truth);
    const F scale = (2 - truth.w * truth.h) * weight;
    return {scale * (target.x - cell.offset(t.x)), scale * (target.y - cell.offset(t.y)), scale * (target.w - t.w),
            scale * (target.h - t.h)};
  }
  Box<F> delta = darknet_iou_delta(params.box_loss, cell.decode(t), truth);
  if (!cell.new_coords) {
    delta.w *= cell.factor(t.w);
    delta.h *= cell.factor(t.h);
  }
  const F limit = F(params.max_delta);
  return {tamed(delta.x * weight, limit), tamed(delta.y * weight, limit), tamed(delta.w * weight, limit),
          tamed(delta.h * weight, limit)};
}

// Focal factor of all entries, pt being the probability of the truth's class.
template <class F>
ROOK_HOST_DEVICE constexpr F darknet_focal(F pt) {
  pt += F(1e-15);
  return F(0.5) * -(1 - pt) * (2 * pt * std::log(pt) + pt - 1);
}

// The new delta of one class of an assignment; `p` is its probability, `hit` says whether it is the truth's class.
// Where the truth's class has a delta already (`again`) the other classes keep theirs, so that several truths make a
// union of classes. `focus` is darknet_focal of the truth's class, `multiplier` that of the class.
template <class F>
ROOK_HOST_DEVICE constexpr F darknet_class_delta(const HeadLossParams& params, bool hit, bool again, F p, F focus,
                                                 F multiplier, F delta) {
  if (again && !hit) return delta;
  if (!again && params.focal_loss) return ((hit ? 1 : 0) - p) * focus;
  const F eps = F(params.label_smooth_eps), value = (hit ? 1 - eps : F(0)) + eps / 2 - p;
  if (value - value == 0) delta = value;
  if (!hit) return delta;
  if (again) return delta * multiplier;
  // Without counters_per_class darknet ignores cls_normalizer.
  return params.class_multipliers != nullptr ? delta * (multiplier * F(params.cls_normalizer)) : delta;
}

// Class deltas of one assignment, from the probabilities p[classes].
template <class F>
ROOK_HOST_DEVICE constexpr void darknet_class_deltas(const HeadLossParams& params, const F* p, int classes, int cls,
                                                     F* delta) {
  const F multiplier = F(class_multiplier(params, cls)), focus = params.focal_loss ? darknet_focal(p[cls]) : F(0);
  const bool again = delta[cls] != 0;
  for (int c = 0; c < classes; ++c) {
    delta[c] = darknet_class_delta(params, c == cls, again, p[c], focus, multiplier, delta[c]);
  }
}

// Box deltas of a cell are divided by the number of classes that are pulled up (iou_thresh < 1 only).
template <class F>
ROOK_HOST_DEVICE constexpr F darknet_classes_up(const F* class_delta, int classes) {
  int count = 0;
  for (int c = 0; c < classes; ++c) count += class_delta[c] > 0;
  return F(std::max(1, count));
}

// Objectness of a cell that no truth took and whose best IoU is `best` (6.1); `gate`: some class is above
// kDarknetClassGate.
ROOK_HOST_DEVICE constexpr float darknet_background_delta(const HeadLossParams& params, float objectness, float best,
                                                          bool gate) {
  const float delta = params.obj_normalizer * (0 - objectness);
  if (!(best > params.ignore_thresh && gate)) return delta;
  return params.objectness_smooth ? std::max(delta, params.obj_normalizer * (best - objectness)) : 0;
}

// Any class above this makes a cell's box good enough to be ignored (6.1).
inline constexpr double kDarknetClassGate = 0.25;

// Region: images of the warm-up, during which every anchor is drawn to its prior, and the scale of that.
inline constexpr std::int64_t kRegionWarmup = 12800;
inline constexpr double kRegionPriorScale = 0.01;

// Region's delta of the objectness o, drawn to `target`, with sigma'.
template <class F>
ROOK_HOST_DEVICE constexpr F region_objectness_delta(F scale, F target, F o) {
  return scale * (target - o) * o * (1 - o);
}

// Region's delta of the four outputs, which replaces what was there: squared error with sigma' (6.6).
template <class F>
ROOK_HOST_DEVICE constexpr Box<F> region_box_delta(const CellDecoder<F>& cell, const Box<F>& t, const Box<F>& truth,
                                                   F scale) {
  const Box<F> target = output_target(cell, truth);
  return {scale * (target.x - sigmoid(t.x)) * cell.offset_slope(t.x),
          scale * (target.y - sigmoid(t.y)) * cell.offset_slope(t.y), scale * (target.w - t.w),
          scale * (target.h - t.h)};
}

}  // namespace rook
