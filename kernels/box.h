// Boxes of a detection head: the IoU family with its true gradient, and decoding of one anchor cell with the chain rule
// back to its four outputs. Formulas over float or double, for the host and for kernels.
//
// IoU; GIoU: Rezatofighi et al. 2019, eq. 3; DIoU and CIoU: Zheng et al. 2020, eq. 6 and 8-11. A box is centre and
// size.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/host_device.h"
#include "kernels/ops.h"

namespace rook {

template <class F>
struct Box {
  F x = 0, y = 0, w = 0, h = 0;
};

template <class F>
ROOK_HOST_DEVICE constexpr Box<F> box_of(const Truth& truth) {
  return {F(truth.x), F(truth.y), F(truth.w), F(truth.h)};
}

// a p + b q, component by component.
template <class F>
ROOK_HOST_DEVICE constexpr Box<F> combine(F a, const Box<F>& p, F b, const Box<F>& q) {
  return {a * p.x + b * q.x, a * p.y + b * q.y, a * p.w + b * q.w, a * p.h + b * q.h};
}

// Overlap of the intervals with centres a, b and lengths p, q; negative when they are apart.
template <class F>
ROOK_HOST_DEVICE constexpr F overlap(F a, F p, F b, F q) {
  return std::min(a + p / 2, b + q / 2) - std::max(a - p / 2, b - q / 2);
}

template <class F>
ROOK_HOST_DEVICE constexpr F iou(const Box<F>& a, const Box<F>& b) {
  const F w = overlap(a.x, a.w, b.x, b.w), h = overlap(a.y, a.h, b.y, b.h);
  if (!(w > 0 && h > 0)) return 0;
  const F intersection = w * h;
  return intersection / (a.w * a.h + b.w * b.h - intersection);
}

// IoU of two boxes with the same centre: how well an anchor fits a truth.
template <class F>
ROOK_HOST_DEVICE constexpr F shape_iou(const Box<F>& a, const Box<F>& b) {
  const F intersection = std::min(a.w, b.w) * std::min(a.h, b.h);
  const F united = a.w * a.h + b.w * b.h - intersection;
  return united > 0 ? intersection / united : F(0);
}

// Squared distance of the centres over the squared diagonal of the enclosing box: DIoU's penalty. NMS of darknet takes
// it to the power of beta (darknet.md 5.5).
template <class F>
ROOK_HOST_DEVICE constexpr F centre_penalty(const Box<F>& a, const Box<F>& b) {
  const F w = std::max(a.x + a.w / 2, b.x + b.w / 2) - std::min(a.x - a.w / 2, b.x - b.w / 2);
  const F h = std::max(a.y + a.h / 2, b.y + b.h / 2) - std::min(a.y - a.h / 2, b.y - b.h / 2);
  const F diagonal = w * w + h * h, dx = a.x - b.x, dy = a.y - b.y;
  return diagonal > 0 ? (dx * dx + dy * dy) / diagonal : F(0);
}

// Difference of atan(w / h), truth minus prediction, and CIoU's v = 4 / pi^2 difference^2.
template <class F>
ROOK_HOST_DEVICE constexpr F aspect_difference(const Box<F>& prediction, const Box<F>& truth) {
  return std::atan2(truth.w, truth.h) - std::atan2(prediction.w, prediction.h);
}
inline constexpr double kFourOverPiSquared = 0.40528473456935108577551785283891;

// CIoU's trade-off alpha = v / (1 - IoU + v), a constant to the gradient, as in its authors' code; the paper does not
// say. 1e-6: a perfect box has 0 / 0.
template <class F>
ROOK_HOST_DEVICE constexpr F ciou_alpha(const Box<F>& prediction, const Box<F>& truth) {
  const F difference = aspect_difference(prediction, truth);
  const F v = F(kFourOverPiSquared) * difference * difference;
  return v / (1 - iou(prediction, truth) + v + F(1e-6));
}

template <class F>
struct IouTerm {
  F value = 0;
  Box<F> gradient;  // of value with respect to the predicted box
};

// What the members of the family are made of. Gradients with respect to the prediction.
template <class F>
struct BoxPair {
  F intersection = 0, united = 0;
  F enclosing_w = 0, enclosing_h = 0;
  Box<F> d_intersection, d_united;
  F dw_dx = 0, dw_dw = 0, dh_dy = 0, dh_dh = 0;  // of the enclosing width and height
};

// 1 when a > b, 0 when a < b; one half at the kink, so that a perfect box is pulled nowhere.
template <class F>
ROOK_HOST_DEVICE constexpr F step(F a, F b) {
  return a > b ? F(1) : a < b ? F(0) : F(0.5);
}

template <class F>
ROOK_HOST_DEVICE constexpr BoxPair<F> compare_boxes(const Box<F>& p, const Box<F>& t) {
  const F p_left = p.x - p.w / 2, p_right = p.x + p.w / 2, p_top = p.y - p.h / 2, p_bottom = p.y + p.h / 2;
  const F t_left = t.x - t.w / 2, t_right = t.x + t.w / 2, t_top = t.y - t.h / 2, t_bottom = t.y + t.h / 2;
  const F w = std::min(p_right, t_right) - std::max(p_left, t_left);
  const F h = std::min(p_bottom, t_bottom) - std::max(p_top, t_top);
  BoxPair<F> pair;
  if (w > 0 && h > 0) {
    pair.intersection = w * h;
    const F left = -h * step(p_left, t_left), right = h * step(t_right, p_right);
    const F top = -w * step(p_top, t_top), bottom = w * step(t_bottom, p_bottom);
    pair.d_intersection = {left + right, top + bottom, (right - left) / 2, (bottom - top) / 2};
  }
  pair.united = p.w * p.h + t.w * t.h - pair.intersection;
  pair.d_united = combine(F(1), Box<F>{0, 0, p.h, p.w}, F(-1), pair.d_intersection);
  pair.enclosing_w = std::max(p_right, t_right) - std::min(p_left, t_left);
  pair.enclosing_h = std::max(p_bottom, t_bottom) - std::min(p_top, t_top);
  const F left = step(t_left, p_left), right = step(p_right, t_right);
  const F top = step(t_top, p_top), bottom = step(p_bottom, t_bottom);
  pair.dw_dx = right - left;
  pair.dw_dw = (right + left) / 2;
  pair.dh_dy = bottom - top;
  pair.dh_dh = (bottom + top) / 2;
  return pair;
}

// term -= S / D, S being the squared distance of the centres, D the squared diagonal of the enclosing box.
template <class F>
ROOK_HOST_DEVICE constexpr void subtract_centre_penalty(IouTerm<F>& term, const BoxPair<F>& pair, const Box<F>& p,
                                                        const Box<F>& t) {
  const F d = pair.enclosing_w * pair.enclosing_w + pair.enclosing_h * pair.enclosing_h;
  if (!(d > 0)) return;
  const F dx = p.x - t.x, dy = p.y - t.y, s = dx * dx + dy * dy;
  const Box<F> d_s{2 * dx, 2 * dy, 0, 0};
  const Box<F> d_d{2 * pair.enclosing_w * pair.dw_dx, 2 * pair.enclosing_h * pair.dh_dy,
                   2 * pair.enclosing_w * pair.dw_dw, 2 * pair.enclosing_h * pair.dh_dh};
  term.value -= s / d;
  term.gradient = combine(F(1), term.gradient, F(-1), combine(1 / d, d_s, -(s / d) / d, d_d));
}

// The value of the family's member and its gradient; `alpha` (of CIoU) is a constant.
template <class F>
ROOK_HOST_DEVICE constexpr IouTerm<F> iou_term(IouKind kind, const Box<F>& p, const Box<F>& t, F alpha) {
  const BoxPair<F> pair = compare_boxes(p, t);
  IouTerm<F> term;
  if (pair.united > 0) {
    term.value = pair.intersection / pair.united;
    term.gradient = combine(1 / pair.united, pair.d_intersection, -term.value / pair.united, pair.d_united);
  }
  if (kind == IouKind::giou) {
    const F c = pair.enclosing_w * pair.enclosing_h;
    if (c > 0) {
      const Box<F> d_c{pair.dw_dx * pair.enclosing_h, pair.dh_dy * pair.enclosing_w, pair.dw_dw * pair.enclosing_h,
                       pair.dh_dh * pair.enclosing_w};
      const F filled = pair.united / c;
      term.value -= 1 - filled;
      term.gradient = combine(F(1), term.gradient, F(1), combine(1 / c, pair.d_united, -filled / c, d_c));
    }
  }
  if (kind == IouKind::diou || kind == IouKind::ciou) subtract_centre_penalty(term, pair, p, t);
  if (kind == IouKind::ciou) {
    const F difference = aspect_difference(p, t), square = p.w * p.w + p.h * p.h;
    term.value -= alpha * F(kFourOverPiSquared) * difference * difference;
    if (square > 0) {
      const F slope = alpha * F(2 * kFourOverPiSquared) * difference / square;
      term.gradient.w += slope * p.h;
      term.gradient.h -= slope * p.w;
    }
  }
  // The comparisons above take a box that is not a number for one far away; its loss must show it.
  term.value += 0 * (p.x + p.y + p.w + p.h);
  return term;
}

template <class F>
ROOK_HOST_DEVICE constexpr F iou_value(IouKind kind, const Box<F>& prediction, const Box<F>& truth) {
  if (kind == IouKind::iou) return iou(prediction, truth);
  return iou_term(kind, prediction, truth, kind == IouKind::ciou ? ciou_alpha(prediction, truth) : F(0)).value;
}

template <class F>
ROOK_HOST_DEVICE constexpr F sigmoid(F z) {
  return 1 / (1 + std::exp(-z));
}

// Sizes are e^t times the anchor; t is held at this, 2981 anchors, so that a box stays finite.
inline constexpr double kMaxLogSize = 8;

// Channel of the box's value k = 0..3 (x, y, w, h) and of the objectness among the entries of an anchor. A Gaussian
// head has the uncertainty of each value after it.
ROOK_HOST_DEVICE constexpr int box_entry(HeadKind kind, int k) {
  return kind == HeadKind::gaussian ? 2 * k : k;
}
ROOK_HOST_DEVICE constexpr int objectness_entry(HeadKind kind) {
  return kind == HeadKind::gaussian ? 8 : 4;
}
ROOK_HOST_DEVICE constexpr int class_entry(HeadKind kind) {
  return objectness_entry(kind) + 1;
}

// An output at or below this cannot have a probability above p. A little low, as the exact test follows.
ROOK_HOST_DEVICE inline float output_cutoff(float p, bool activated) {
  if (activated) return p;
  if (p <= 0) return -INFINITY;
  if (p >= 1) return INFINITY;
  return std::log(p) - std::log1p(-p) - 1e-3f;
}

// Column or row of the cell that holds a truth's centre; the edge 1.0 belongs to the last cell. In float, as darknet's.
ROOK_HOST_DEVICE constexpr int cell_of(float position, int cells) {
  return std::min(std::max(static_cast<int>(position * static_cast<float>(cells)), 0), cells - 1);
}

// A truth that can be learnt: its class exists, its box is finite and not empty.
ROOK_HOST_DEVICE constexpr bool is_usable(const Truth& truth, int classes) {
  return truth.cls >= 0 && truth.cls < classes && truth.x - truth.x == 0 && truth.y - truth.y == 0 && truth.w > 0 &&
         truth.h > 0 && truth.w - truth.w == 0 && truth.h - truth.h == 0 && truth.x >= -1 && truth.x <= 2 &&
         truth.y >= -1 && truth.y <= 2;
}

// Anchor `n` of the network's table relative to the image, at the origin.
template <class F>
ROOK_HOST_DEVICE constexpr Box<F> anchor_shape(const HeadSpec& head, int n, int grid_w, int grid_h, int net_w,
                                               int net_h) {
  const bool in_cells = head.kind == HeadKind::region;
  return {0, 0, F(head.anchor_w[n]) / F(in_cells ? grid_w : net_w), F(head.anchor_h[n]) / F(in_cells ? grid_h : net_h)};
}

// Decoding of one anchor in one cell (darknet.md 5.1): x = (column + s sigma(tx) - (s - 1) / 2) / grid_w, w = e^tw
// anchor; new_coords: the outputs are activated already and w = 4 tw^2 anchor.
template <class F>
struct CellDecoder {
  F col = 0, row = 0, grid_w = 1, grid_h = 1;
  F anchor_w = 0, anchor_h = 0;  // relative to the image
  F scale_x_y = 1;
  bool new_coords = false;

  // Position inside the cell, in cells.
  ROOK_HOST_DEVICE constexpr F offset(F t) const {
    return scale_x_y * (new_coords ? t : sigmoid(t)) - (scale_x_y - 1) / 2;
  }
  ROOK_HOST_DEVICE constexpr F offset_slope(F t) const {
    if (new_coords) return scale_x_y;
    const F s = sigmoid(t);
    return scale_x_y * s * (1 - s);
  }
  // Size in anchors.
  ROOK_HOST_DEVICE constexpr F factor(F t) const {
    return new_coords ? 4 * t * t : std::exp(std::min(t, F(kMaxLogSize)));
  }
  ROOK_HOST_DEVICE constexpr F factor_slope(F t) const {
    return new_coords ? 8 * t : t > F(kMaxLogSize) ? F(0) : std::exp(t);
  }

  ROOK_HOST_DEVICE constexpr Box<F> decode(const Box<F>& t) const {
    return {(col + offset(t.x)) / grid_w, (row + offset(t.y)) / grid_h, factor(t.w) * anchor_w, factor(t.h) * anchor_h};
  }
  // dL/dt from dL/dbox.
  ROOK_HOST_DEVICE constexpr Box<F> chain(const Box<F>& t, const Box<F>& gradient) const {
    return {gradient.x * offset_slope(t.x) / grid_w, gradient.y * offset_slope(t.y) / grid_h,
            gradient.w * factor_slope(t.w) * anchor_w, gradient.h * factor_slope(t.h) * anchor_h};
  }
};

// The decoder of anchor `a` of the head (an index into its mask).
template <class F>
ROOK_HOST_DEVICE constexpr CellDecoder<F> cell_decoder(const HeadSpec& head, int a, int grid_w, int grid_h, int net_w,
                                                       int net_h) {
  const Box<F> shape = anchor_shape<F>(head, head.mask[a], grid_w, grid_h, net_w, net_h);
  CellDecoder<F> decoder;
  decoder.grid_w = F(grid_w);
  decoder.grid_h = F(grid_h);
  decoder.anchor_w = shape.w;
  decoder.anchor_h = shape.h;
  decoder.scale_x_y = F(head.scale_x_y);
  decoder.new_coords = head.new_coords;
  return decoder;
}

}  // namespace rook
