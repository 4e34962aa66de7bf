#include "kernels/head_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"

namespace rook {
namespace {

void require(bool ok, const std::string& message) {
  if (!ok) throw Error(message);
}

void check_spec(const char* op, const HeadSpec& head) {
  require(head.classes >= 1, fmt::format("{}: a head needs at least one class, got {}", op, head.classes));
  require(head.total_anchors >= 1 && head.total_anchors <= kMaxAnchors,
          fmt::format("{}: {} anchors in the table, 1..{} are possible", op, head.total_anchors, kMaxAnchors));
  require(head.anchors >= 1 && head.anchors <= head.total_anchors,
          fmt::format("{}: the head uses {} of {} anchors", op, head.anchors, head.total_anchors));
  for (int n = 0; n < head.total_anchors; ++n) {
    const float w = head.anchor_w[n], h = head.anchor_h[n];
    require(std::isfinite(w) && std::isfinite(h) && w > 0 && h > 0,
            fmt::format("{}: anchor {} is {} x {}; sizes must be positive", op, n, w, h));
  }
  for (int a = 0; a < head.anchors; ++a) {
    require(head.mask[a] >= 0 && head.mask[a] < head.total_anchors,
            fmt::format("{}: mask entry {} is {}, the table has {} anchors", op, a, head.mask[a], head.total_anchors));
    require(std::find(head.mask, head.mask + a, head.mask[a]) == head.mask + a,
            fmt::format("{}: anchor {} stands twice in the mask of one head", op, head.mask[a]));
  }
  const bool plain = head.scale_x_y == 1 && !head.new_coords;
  require(head.kind != HeadKind::region || plain, fmt::format("{}: a region head has no scale_x_y or new_coords", op));
  require(head.kind != HeadKind::gaussian || !head.new_coords,
          fmt::format("{}: a Gaussian head has no new_coords", op));
}

void check_tensor(const char* op, const char* name, const Tensor& tensor, const HeadSpec& head, Device device,
                  std::initializer_list<DType> types) {
  require(tensor.data != nullptr || tensor.elements() == 0, fmt::format("{}: {} is a null tensor", op, name));
  require(tensor.device == device || device != Device::cpu, fmt::format("{}: {} lies on another device", op, name));
  require(std::find(types.begin(), types.end(), tensor.dtype) != types.end(),
          fmt::format("{}: {} of type {} is not supported", op, name, name_of(tensor.dtype)));
  require(tensor.n >= 0 && tensor.h >= 1 && tensor.w >= 1 && tensor.pitch >= tensor.c,
          fmt::format("{}: {} has the impossible shape [{}, {}, {}, {}] with pitch {}", op, name, tensor.n, tensor.h,
                      tensor.w, tensor.c, tensor.pitch));
  require(tensor.c == head.anchors * head.entries(),
          fmt::format("{}: {} has {} channels; {} anchors x {} entries need {} (filters= of the convolution before)",
                      op, name, tensor.c, head.anchors, head.entries(), head.anchors * head.entries()));
}

void check_net(const char* op, int w, int h) {
  require(w >= 1 && h >= 1, fmt::format("{}: network size {} x {}; it must be positive", op, w, h));
}

void check_same_table(const HeadSpec& first, const HeadSpec& head, std::size_t index) {
  const bool same = head.total_anchors == first.total_anchors && head.kind == first.kind &&
                    head.classes == first.classes &&
                    std::equal(head.anchor_w, head.anchor_w + head.total_anchors, first.anchor_w) &&
                    std::equal(head.anchor_h, head.anchor_h + head.total_anchors, first.anchor_h);
  require(same, fmt::format("yolo_loss: head {} differs from head 0 in kind, classes or anchor table", index));
}

void check_params(const HeadLossParams& p, const HeadSpec& head, Device device, std::size_t index) {
  require(p.label_smooth_eps >= 0 && p.label_smooth_eps < 1,
          fmt::format("yolo_loss: head {}: label_smooth_eps {} is outside of [0, 1)", index, p.label_smooth_eps));
  require(!std::isnan(p.ignore_thresh) && !std::isnan(p.truth_thresh) && !std::isnan(p.iou_thresh),
          fmt::format("yolo_loss: head {}: a threshold is NaN", index));
  for (int c = 0; device == Device::cpu && p.class_multipliers != nullptr && c < head.classes; ++c) {
    require(std::isfinite(p.class_multipliers[c]) && p.class_multipliers[c] >= 0,
            fmt::format("yolo_loss: head {}: multiplier {} of class {}", index, p.class_multipliers[c], c));
  }
}

}  // namespace

void check_head_decode(const HeadDecode& args, Device device, std::initializer_list<DType> logits) {
  constexpr const char* kOp = "head_decode";
  check_spec(kOp, args.head);
  check_tensor(kOp, "logits", args.logits, args.head, device, logits);
  check_net(kOp, args.net_w, args.net_h);
  require(args.threshold >= 0, fmt::format("head_decode: threshold {}; it must be 0 or more", args.threshold));
  require(args.capacity >= 0 && (args.detections != nullptr || args.capacity == 0 || args.logits.n == 0),
          "head_decode: no room for detections");
  require(args.counts != nullptr || args.logits.n == 0, "head_decode: counts is null");
}

void check_nms(const Nms& args) {
  require(args.images >= 0 && args.capacity >= 0,
          fmt::format("nms: {} images with room for {} detections", args.images, args.capacity));
  require(args.images == 0 || (args.counts != nullptr && (args.detections != nullptr || args.capacity == 0)),
          "nms: detections or counts is null");
  require(!std::isnan(args.threshold) && !std::isnan(args.beta), "nms: the threshold or beta is NaN");
}

void check_yolo_loss(const YoloLoss& args, Device device, std::initializer_list<DType> logits,
                     std::initializer_list<DType> gradients) {
  constexpr const char* kOp = "yolo_loss";
  require(!args.heads.empty() && args.heads.size() <= kMaxHeads,
          fmt::format("yolo_loss: {} heads, 1..{} are possible", args.heads.size(), kMaxHeads));
  check_net(kOp, args.net_w, args.net_h);
  const HeadSpec& first = args.heads[0].head;
  const int images = args.heads[0].logits.n;
  for (std::size_t i = 0; i < args.heads.size(); ++i) {
    const LossHead& head = args.heads[i];
    check_spec(kOp, head.head);
    require(head.head.kind != HeadKind::gaussian,
            "yolo_loss: training a Gaussian_yolo head is not supported; use [yolo] heads");
    check_same_table(first, head.head, i);
    check_tensor(kOp, "logits", head.logits, head.head, device, logits);
    check_tensor(kOp, "dlogits", head.dlogits, head.head, device, gradients);
    check_params(head.params, head.head, device, i);
    const bool same = head.dlogits.n == images && head.logits.n == images && head.dlogits.h == head.logits.h &&
                      head.dlogits.w == head.logits.w;
    require(same, fmt::format("yolo_loss: head {}: dlogits or the batch has another shape than logits", i));
  }
  require(first.kind != HeadKind::region || args.heads.size() == 1, "yolo_loss: a region head must be the only head");
  require(args.max_truths >= 0, fmt::format("yolo_loss: room for {} truths", args.max_truths));
  require(images == 0 || args.truth_counts != nullptr, "yolo_loss: truth_counts is null");
  require(images == 0 || args.truths != nullptr || args.max_truths == 0, "yolo_loss: truths is null");
  require(args.parts != nullptr, "yolo_loss: parts is null");
  require(std::isfinite(args.gradient_scale), "yolo_loss: the gradient scale is not finite");
  for (int n = 0; device == Device::cpu && n < images; ++n) {
    require(args.truth_counts[n] >= 0 && args.truth_counts[n] <= args.max_truths,
            fmt::format("yolo_loss: image {} has {} truths, there is room for {}", n, args.truth_counts[n],
                        args.max_truths));
  }
}

}  // namespace rook
