// Terms of the detection loss (fixed mode of YoloLoss): binary and softmax cross-entropy, focal weighting, box terms.
// As box.h: formulas over float or double, for the host and for kernels.
#pragma once

#include "kernels/box.h"

namespace rook {

// The value of a term and its derivative with respect to the logit (or the activated value).
template <class F>
struct Term {
  F value = 0, slope = 0;
};

// log(1 + e^z) without overflow.
template <class F>
ROOK_HOST_DEVICE constexpr F softplus(F z) {
  return std::max(z, F(0)) + std::log1p(std::exp(-std::abs(z)));
}

// Activated outputs closer to 0 or 1 than this count as this far: log and 1 / (p (1 - p)) stay finite, and after the
// logistic's own derivative p (1 - p) the gradient is the usual p - y.
inline constexpr double kMinProbability = 1e-7;

// A probability, its logarithms, and the derivative of the logit with respect to what the network puts out.
template <class F>
struct Probability {
  F p = 0, log_p = 0, log_q = 0;
  F d_logit = 1;
};

// Of an output of the network: a logit, or (new_coords) an activated value.
template <class F>
ROOK_HOST_DEVICE constexpr Probability<F> probability_of(F output, bool activated) {
  if (!activated) {
    return {sigmoid(output), -softplus(-output), -softplus(output), F(1)};
  }
  const F low = F(kMinProbability);
  return {output, std::log(std::max(output, low)), std::log(std::max(1 - output, low)),
          1 / std::max(output * (1 - output), low)};
}

// -y ln p - (1 - y) ln(1 - p).
template <class F>
ROOK_HOST_DEVICE constexpr Term<F> cross_entropy(const Probability<F>& b, F y) {
  return {-(y * b.log_p + (1 - y) * b.log_q), (b.p - y) * b.d_logit};
}

// Focal loss (Lin et al. 2017) with alpha 1/2 and gamma 2 as darknet's: -1/2 (1 - p)^2 ln p for a positive.
template <class F>
ROOK_HOST_DEVICE constexpr Term<F> focal(const Probability<F>& b, bool positive) {
  const F p = positive ? b.p : 1 - b.p, log_p = positive ? b.log_p : b.log_q;
  const F slope = (1 - p) * (1 - p) * (2 * p * log_p + p - 1) / 2;
  return {-(1 - p) * (1 - p) * log_p / 2, (positive ? slope : -slope) * b.d_logit};
}

// One class of a positive: y in {0, 1}, smoothed to y (1 - eps) + eps / 2; focal loss knows no smoothing (as
// darknet's).
template <class F>
ROOK_HOST_DEVICE constexpr Term<F> class_term(const HeadLossParams& params, const Probability<F>& b, bool positive) {
  if (params.focal_loss) return focal(b, positive);
  const F eps = F(params.label_smooth_eps);
  return cross_entropy(b, (positive ? 1 - eps : F(0)) + eps / 2);
}

// One class of a softmax for one positive, by its logit: -y ln p with y smoothed to y (1 - eps) + eps / classes, or
// focal loss of the truth's class, whose ln p is log_pt.
template <class F>
ROOK_HOST_DEVICE constexpr Term<F> softmax_term(const HeadLossParams& params, int classes, bool positive, F log_p,
                                                F log_pt) {
  const F p = std::exp(log_p), hit = positive ? F(1) : F(0);
  if (params.focal_loss) {
    const F pt = std::exp(log_pt), focus = (1 - pt) * (2 * pt * log_pt + pt - 1) / 2;
    return {positive ? -(1 - pt) * (1 - pt) * log_pt / 2 : F(0), (hit - p) * focus};
  }
  const F eps = F(params.label_smooth_eps), y = hit * (1 - eps) + eps / classes;
  return {-y * log_p, p - y};
}

// What the parameters of a head weigh in fixed mode; region names them otherwise.
template <class F>
struct HeadWeights {
  F box = 0, objectness = 0, no_objectness = 0, classes = 0, ignore = 0;
  bool iou_target = false;  // objectness of a positive is its IoU, not 1
};

template <class F>
ROOK_HOST_DEVICE constexpr HeadWeights<F> head_weights(HeadKind kind, const HeadLossParams& params) {
  if (kind == HeadKind::region) {
    return {F(params.coord_scale), F(params.object_scale), F(params.noobject_scale),
            F(params.class_scale), F(params.thresh),       params.rescore};
  }
  return {F(params.iou_normalizer), F(params.obj_normalizer), F(params.obj_normalizer),
          F(params.cls_normalizer), F(params.ignore_thresh),  params.objectness_smooth};
}

ROOK_HOST_DEVICE constexpr float class_multiplier(const HeadLossParams& params, int cls) {
  return params.class_multipliers != nullptr ? params.class_multipliers[cls] : 1.0f;
}

ROOK_HOST_DEVICE constexpr IouKind iou_kind(BoxLoss loss) {
  switch (loss) {
    case BoxLoss::mse:
    case BoxLoss::iou:
      break;
    case BoxLoss::giou:
      return IouKind::giou;
    case BoxLoss::diou:
      return IouKind::diou;
    case BoxLoss::ciou:
      return IouKind::ciou;
  }
  return IouKind::iou;
}

template <class F>
struct BoxTerm {
  F value = 0;
  Box<F> slope;  // with respect to the four outputs
};

// darknet's target of the four outputs, in the units of `offset` and of tw (darknet.md 6.3).
template <class F>
ROOK_HOST_DEVICE constexpr Box<F> output_target(const CellDecoder<F>& cell, const Box<F>& truth) {
  const F w = truth.w / cell.anchor_w, h = truth.h / cell.anchor_h;
  return {truth.x * cell.grid_w - cell.col, truth.y * cell.grid_h - cell.row,
          cell.new_coords ? std::sqrt(w / 4) : std::log(w), cell.new_coords ? std::sqrt(h / 4) : std::log(h)};
}

// 1 - IoU of the kind asked for, or mse: (2 - w h) / 2 times the squared distance of the outputs from their target.
template <class F>
ROOK_HOST_DEVICE constexpr BoxTerm<F> box_term(BoxLoss loss, const CellDecoder<F>& cell, const Box<F>& t,
                                               const Box<F>& truth, F alpha) {
  if (loss == BoxLoss::mse) {
    const Box<F> target = output_target(cell, truth);
    const Box<F> e{cell.offset(t.x) - target.x, cell.offset(t.y) - target.y, t.w - target.w, t.h - target.h};
    const F scale = 2 - truth.w * truth.h;
    return {scale / 2 * (e.x * e.x + e.y * e.y + e.w * e.w + e.h * e.h),
            {scale * e.x * cell.offset_slope(t.x), scale * e.y * cell.offset_slope(t.y), scale * e.w, scale * e.h}};
  }
  const IouTerm<F> term = iou_term(iou_kind(loss), cell.decode(t), truth, alpha);
  return {1 - term.value, cell.chain(t, combine(F(-1), term.gradient, F(0), term.gradient))};
}

}  // namespace rook
