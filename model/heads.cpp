#include "model/heads.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "io/cfg_check.h"
#include "kernels/names.h"

namespace rook {
namespace {

using io::CfgSection;
using io::place_of;

BoxLoss box_loss_of(const CfgSection& s, const char* fallback) {
  const std::string name = s.text("iou_loss", fallback);
  if (const auto loss = box_loss_from_name(name)) return *loss;
  throw Error(fmt::format("{}iou_loss={} is not one of mse, iou, giou, diou, ciou", place_of(s, "iou_loss"), name));
}

IouKind iou_kind_of(const CfgSection& s) {
  return iou_kind_from_name(s.text("iou_thresh_kind", "iou")).value_or(IouKind::iou);
}

void read_anchors(const CfgSection& s, HeadSpec& spec) {
  const std::vector<float> anchors = s.numbers("anchors");
  const int num = s.integer("num", static_cast<int>(anchors.size() / 2));
  if (num < 1 || num > kMaxAnchors)
    throw Error(fmt::format("{}num={} anchors; 1 to {} are supported", place_of(s, "num"), num, kMaxAnchors));
  if (static_cast<int>(anchors.size()) < 2 * num)
    throw Error(fmt::format("{}anchors= has {} numbers, num={} needs {}", place_of(s, "anchors"), anchors.size(), num,
                            2 * num));
  spec.total_anchors = num;
  for (int i = 0; i < num; ++i) {
    spec.anchor_w[i] = anchors[2 * i];
    spec.anchor_h[i] = anchors[2 * i + 1];
    if (!(spec.anchor_w[i] > 0 && spec.anchor_h[i] > 0))
      throw Error(fmt::format("{}anchor {} is not positive", place_of(s, "anchors"), i));
  }
  std::vector<int> mask = s.integers("mask");
  if (mask.empty()) {
    mask.resize(num);
    std::iota(mask.begin(), mask.end(), 0);
  }
  spec.anchors = static_cast<int>(mask.size());
  if (spec.anchors > kMaxAnchors)
    throw Error(fmt::format("{}mask= names more than {} anchors", place_of(s, "mask"), kMaxAnchors));
  for (int i = 0; i < spec.anchors; ++i) {
    if (mask[i] < 0 || mask[i] >= num)
      throw Error(fmt::format("{}mask={} is not an anchor of num={}", place_of(s, "mask"), mask[i], num));
    spec.mask[i] = mask[i];
  }
}

void read_loss(const CfgSection& s, Head& head) {
  HeadLossParams& loss = head.loss;
  loss.ignore_thresh = s.number("ignore_thresh", 0.5f);
  loss.truth_thresh = s.number("truth_thresh", 1);
  loss.iou_thresh = s.number("iou_thresh", 1);
  loss.iou_thresh_kind = iou_kind_of(s);
  loss.box_loss = box_loss_of(s, "mse");
  loss.iou_normalizer = s.number("iou_normalizer", 0.75f);
  loss.obj_normalizer = s.number("obj_normalizer", 1);
  loss.cls_normalizer = s.number("cls_normalizer", 1);
  loss.delta_normalizer = s.number("delta_normalizer", 1);
  loss.max_delta = s.number("max_delta", std::numeric_limits<float>::max());
  loss.label_smooth_eps = s.number("label_smooth_eps", 0);
  loss.focal_loss = s.number("focal_loss", 0) != 0;
  loss.objectness_smooth = s.integer("objectness_smooth", 0) != 0;
  const std::vector<float> counters = s.numbers("counters_per_class");
  if (!counters.empty()) {
    if (static_cast<int>(counters.size()) != head.spec.classes)
      throw Error(fmt::format("{}counters_per_class= has {} numbers for {} classes", place_of(s, "counters_per_class"),
                              counters.size(), head.spec.classes));
    const float most = *std::max_element(counters.begin(), counters.end());
    for (const float count : counters)
      head.class_multipliers.push_back(std::min(loss.max_delta, most / std::max(count, 1.0f)));
  }
}

}  // namespace

Head read_head(const CfgSection& s, int node, Shape logits) {
  Head head{.node = node, .source = node - 1, .spec = {}, .loss = {}, .class_multipliers = {}};
  HeadSpec& spec = head.spec;
  spec.kind = s.type == "region" ? HeadKind::region : s.type == "yolo" ? HeadKind::yolo : HeadKind::gaussian;
  spec.classes = s.integer("classes", 20);
  if (spec.classes < 1)
    throw Error(fmt::format("{}classes={}; at least one is needed", place_of(s, "classes"), spec.classes));
  read_anchors(s, spec);
  spec.scale_x_y = s.number("scale_x_y", 1);
  spec.new_coords = s.integer("new_coords", 0) != 0;
  spec.softmax = s.integer("softmax", 0) != 0;
  const int wanted = spec.anchors * spec.entries();
  if (logits.c != wanted)
    throw Error(
        fmt::format("{}the convolution before it has filters={}, but {} anchors x ({} classes + {}) need filters={}",
                    place_of(s), logits.c, spec.anchors, spec.classes, spec.entries() - spec.classes, wanted));
  if (spec.kind != HeadKind::region) {
    read_loss(s, head);
  } else {
    HeadLossParams& loss = head.loss;
    loss.noobject_scale = s.number("noobject_scale", 1);
    loss.object_scale = s.number("object_scale", 1);
    loss.coord_scale = s.number("coord_scale", 1);
    loss.class_scale = s.number("class_scale", 1);
    loss.thresh = s.number("thresh", 0.5f);
    loss.rescore = s.integer("rescore", 0) != 0;
    loss.bias_match = s.integer("bias_match", 0) != 0;
  }
  return head;
}

void finish_heads(Network& network) {
  if (network.heads.empty()) return;
  if (static_cast<int>(network.heads.size()) > kMaxHeads)
    throw Error(
        fmt::format("{}: {} heads; at most {} are supported", network.cfg.name, network.heads.size(), kMaxHeads));
  for (Head& head : network.heads) {
    if (head.spec.classes != network.classes())
      throw Error(fmt::format("{}the heads differ in classes ({} and {}); give all of them the same",
                              place_of(network.cfg.layer(head.node)), network.classes(), head.spec.classes));
    head.loss.class_multipliers = head.class_multipliers.empty() ? nullptr : head.class_multipliers.data();
  }
  const CfgSection& last = network.cfg.layer(network.heads.back().node);
  const std::string kind = last.text("nms_kind", "default");
  network.nms_kind = kind == "greedynms" ? NmsKind::greedy : kind == "diounms" ? NmsKind::diou : NmsKind::plain;
  network.nms_beta = last.number("beta_nms", 0.6f);
}

}  // namespace rook
