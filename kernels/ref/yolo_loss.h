// The detection loss in double, in pieces that tests can hold still: what the fixed loss treats as constant
// (assignment, ignored cells, alpha of CIoU, IoU targets) is computed at a point, and the loss is evaluated given that
// point.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/loss_parts.h"

namespace rook::ref {

// Truth `truth` of an image is to be found by the anchor cell `slot` of head `head` ((row * grid_w + column) * A +
// anchor).
struct Match {
  int head = 0, slot = 0, truth = 0;
  double alpha = 0;  // of CIoU
};

struct FixedPoint {
  std::vector<std::vector<Match>> matches;      // per image, by head, slot, truth
  std::vector<std::int32_t> unmatched;          // per image
  std::vector<std::vector<double>> objectness;  // [image * heads + head][slot]: target; kIgnored: none
  std::int64_t positives = 0;
  static constexpr double kIgnored = -1;
};

FixedPoint fixed_point(const YoloLoss& args);

// Sums [image * heads + head] of the fixed loss at the present logits. Writes dlogits when `gradient`.
std::vector<LossSums> fixed_sums(const YoloLoss& args, const FixedPoint& point, bool gradient);

// gradient_scale / max(1, positives) times the sum of all terms.
double fixed_loss(const YoloLoss& args, const FixedPoint& point);

// Truths of an image and the anchor cells that take them. Fixed mode: the best anchor is sought among those that a head
// uses; darknet mode: among all, so that a truth may be lost. `unmatched` counts truths that no head takes.
std::vector<Match> match_truths(const YoloLoss& args, int image, std::int32_t& unmatched);

// Deltas of darknet (darknet.md 6.1-6.5 and 6.6) of one image under one head: sums, and dlogits = -delta.
LossSums darknet_head(const YoloLoss& args, int head, int image, const std::vector<Match>& matches);
LossSums darknet_region(const YoloLoss& args, int image, std::int32_t& unmatched);

}  // namespace rook::ref
