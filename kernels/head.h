// The arguments of the detection head's operations: decoding, suppression, loss. Part of the contract of kernels/ops.h.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/host_device.h"
#include "kernels/types.h"

namespace rook {

enum class HeadKind : std::uint8_t { yolo, gaussian, region };
inline constexpr int kMaxAnchors = 24;
inline constexpr int kMaxHeads = 8;

// A detection head over logits [N,H,W,A*(entries)]; channel of anchor a, entry e: a * entries + e, entries = 5 +
// classes (gaussian: 9 + classes). darknet.md 5.
struct HeadSpec {
  HeadKind kind = HeadKind::yolo;
  int classes = 0;
  int anchors = 0;                   // A: anchors of this head
  float anchor_w[kMaxAnchors] = {};  // all anchors of the network (pixels of the network input; region: grid cells)
  float anchor_h[kMaxAnchors] = {};
  int total_anchors = 0;
  int mask[kMaxAnchors] = {};  // which of them are this head's, A entries
  float scale_x_y = 1;
  bool new_coords = false;
  bool softmax = true;  // region: classes by softmax
  ROOK_HOST_DEVICE constexpr int entries() const { return classes + (kind == HeadKind::gaussian ? 9 : 5); }
};

// Boxes of one head whose objectness and score (objectness times probability of the class) exceed `threshold`
// (strictly), several classes per box possible. Appends to detections[n * capacity ...], counts[n]; when an image has
// more than `capacity`, its count goes on growing and the surplus is not stored, so the caller can tell. Order: by
// anchor cell, then class.
struct HeadDecode {
  HeadSpec head;
  Tensor logits;             // [N,H,W,A*entries], raw output of the convolution before the head
  int net_w = 0, net_h = 0;  // pixels
  float threshold = 0.005f;
  Detection* detections = nullptr;  // [N, capacity]
  std::int32_t* counts = nullptr;   // [N] appended to
  int capacity = 0;
  std::int32_t first_index = 0;  // number of anchor cells of the heads before this one
  bool best_class = false;       // of each box only its likeliest class (the first of equals); darknet: all
};

enum class NmsKind : std::uint8_t { plain, greedy, diou };  // greedy: darknet's greedynms (DIoU with beta 0.6)

// Class-wise greedy suppression per image; survivors are moved to the front, by falling score, ties by index, then
// class.
struct Nms {
  Detection* detections = nullptr;  // [N, capacity]
  std::int32_t* counts = nullptr;   // [N] in: candidates, out: survivors
  int images = 0;
  int capacity = 0;
  NmsKind kind = NmsKind::plain;
  float threshold = 0.45f;
  float beta = 0.6f;          // diou
  void* workspace = nullptr;  // nms_workspace(args) bytes
};

// ---------------------------------------------------------------------------------------------------- loss
enum class BoxLoss : std::uint8_t { mse, iou, giou, diou, ciou };
enum class IouKind : std::uint8_t { iou, giou, diou, ciou };
enum class LossMode : std::uint8_t { fixed, darknet };

// Per head parameters of the loss, defaults as in darknet.md 6.
struct HeadLossParams {
  float ignore_thresh = 0.5f;
  float truth_thresh = 1;
  float iou_thresh = 1;  // < 1: other anchors of the head with shape IoU above it match too
  IouKind iou_thresh_kind = IouKind::iou;
  BoxLoss box_loss = BoxLoss::mse;
  float iou_normalizer = 0.75f, obj_normalizer = 1, cls_normalizer = 1, delta_normalizer = 1;
  float max_delta = 3.4e38f;
  float label_smooth_eps = 0;
  bool focal_loss = false;
  bool objectness_smooth = false;
  bool smooth_bug = false;                   // darknet mode: reproduce 6.2's severe trap
  const float* class_multipliers = nullptr;  // [classes], from counters_per_class; null: 1
  // region only (6.6)
  float noobject_scale = 1, object_scale = 1, coord_scale = 1, class_scale = 1, thresh = 0.5f;
  bool rescore = false, bias_match = false;
};

struct LossHead {
  HeadSpec head;
  HeadLossParams params;
  Tensor logits;   // [N,H,W,A*entries] f32, before any activation (new_coords: already activated)
  Tensor dlogits;  // out, overwritten: dL/dlogits (f32 or bf16)
};

// Sums over the batch, in f32 written from double sums of fixed order.
struct LossParts {
  float box, objectness, classes;  // weighted; total is their sum
  float mean_iou;                  // of the assigned anchors
  float mean_obj, mean_noobj;      // mean objectness at assigned and at other anchors
  std::int32_t positives, truths;
  std::int32_t unmatched;  // truths that no anchor of any head took
};

// Loss and gradient of all heads at once.
// fixed: L = gradient_scale / max(1, positives) * sum over the batch of
//   iou_normalizer sum(1 - IoU-family) + obj_normalizer sum BCE(objectness) + cls_normalizer sum BCE(classes),
//   positives counted over all heads; ignored: cells whose best IoU with any truth exceeds ignore_thresh and that no
//   truth took. Each truth takes the best anchor by shape over all heads plus every anchor with shape IoU > iou_thresh
//   in any head; the gradient of the box term is the true one (alpha of CIoU held constant, as its authors do).
// darknet: deltas as darknet.md 6.1-6.6 negated (dlogits = -delta), not divided by anything, times gradient_scale.
struct YoloLoss {
  LossMode mode = LossMode::fixed;
  std::span<const LossHead> heads;
  const Truth* truths = nullptr;               // [N, max_truths]
  const std::int32_t* truth_counts = nullptr;  // [N]
  int max_truths = 0;
  int net_w = 0, net_h = 0;
  float gradient_scale = 1;
  std::int64_t seen = 0;            // images seen before this batch (region's prior warm-up)
  LossParts* parts = nullptr;       // [1 + heads] total, then per head
  float* image_loss = nullptr;      // [N] loss of each image, or null
  void* workspace = nullptr;        // yolo_loss_workspace(args) bytes
  const StepState* step = nullptr;  // seen
};

}  // namespace rook
