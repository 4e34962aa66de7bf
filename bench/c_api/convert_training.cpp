// Arguments of what training and detection are made of besides layers: optimizer, head, loss, images.
#include <cstddef>

#include "bench/c_api/call.h"

namespace rook::c_api {
namespace {

// Structs of which arrays lie in device memory are passed on as they are: rook.h lays them out as kernels/ does.
#define ROOK_SAME_SIZE(C, Ours) static_assert(sizeof(C) == sizeof(Ours) && alignof(C) == alignof(Ours))
#define ROOK_SAME_PLACE(C, Ours, field) static_assert(offsetof(C, field) == offsetof(Ours, field))
ROOK_SAME_SIZE(rook_step_state, StepState);
ROOK_SAME_PLACE(rook_step_state, StepState, optimizer_step);
ROOK_SAME_PLACE(rook_step_state, StepState, iteration);
ROOK_SAME_PLACE(rook_step_state, StepState, bad_segment);
ROOK_SAME_PLACE(rook_step_state, StepState, lr);
ROOK_SAME_PLACE(rook_step_state, StepState, gradient_scale);
ROOK_SAME_PLACE(rook_step_state, StepState, ema_decay);
ROOK_SAME_SIZE(rook_param_segment, ParamSegment);
ROOK_SAME_PLACE(rook_param_segment, ParamSegment, end);
ROOK_SAME_PLACE(rook_param_segment, ParamSegment, lr_scale);
ROOK_SAME_PLACE(rook_param_segment, ParamSegment, decay);
ROOK_SAME_PLACE(rook_param_segment, ParamSegment, layer);
ROOK_SAME_SIZE(rook_detection, Detection);
ROOK_SAME_PLACE(rook_detection, Detection, score);
ROOK_SAME_PLACE(rook_detection, Detection, objectness);
ROOK_SAME_PLACE(rook_detection, Detection, cls);
ROOK_SAME_PLACE(rook_detection, Detection, index);
ROOK_SAME_SIZE(rook_truth, Truth);
ROOK_SAME_PLACE(rook_truth, Truth, w);
ROOK_SAME_PLACE(rook_truth, Truth, cls);
ROOK_SAME_SIZE(rook_loss_parts, LossParts);
ROOK_SAME_PLACE(rook_loss_parts, LossParts, classes);
ROOK_SAME_PLACE(rook_loss_parts, LossParts, mean_noobj);
ROOK_SAME_PLACE(rook_loss_parts, LossParts, positives);
ROOK_SAME_PLACE(rook_loss_parts, LossParts, unmatched);
ROOK_SAME_SIZE(rook_cached_image, CachedImage);
ROOK_SAME_PLACE(rook_cached_image, CachedImage, width);
ROOK_SAME_PLACE(rook_cached_image, CachedImage, truths);
ROOK_SAME_PLACE(rook_cached_image, CachedImage, truth_count);
static_assert(ROOK_MAX_ANCHORS == kMaxAnchors);
#undef ROOK_SAME_SIZE
#undef ROOK_SAME_PLACE

StepState* step_of(rook_step_state* step) {
  return reinterpret_cast<StepState*>(step);
}

// A list of the caller's: null only when it is empty.
template <class To, class From>
std::span<const To> list_of(const From* first, std::int64_t count, const char* name) {
  if (count < 0 || (count > 0 && !first)) throw Error(fmt::format("{}: {} of them at a null pointer", name, count));
  return {reinterpret_cast<const To*>(first), static_cast<std::size_t>(count)};
}

std::span<const ParamSegment> segments_of(const rook_param_segment* first, std::int64_t count) {
  return list_of<ParamSegment>(first, count, "segments");
}

HeadSpec head_of(const rook_head_spec& c) {
  HeadSpec head{.kind = enumerator(c.kind, HeadKind::region, "head.kind"),
                .classes = c.classes,
                .anchors = c.anchors,
                .total_anchors = c.total_anchors,
                .scale_x_y = c.scale_x_y,
                .new_coords = c.new_coords != 0,
                .softmax = c.softmax != 0};
  for (int i = 0; i < kMaxAnchors; ++i) {
    head.anchor_w[i] = c.anchor_w[i];
    head.anchor_h[i] = c.anchor_h[i];
    head.mask[i] = c.mask[i];
  }
  return head;
}

HeadLossParams params_of(const rook_head_loss_params& c) {
  return {.ignore_thresh = c.ignore_thresh,
          .truth_thresh = c.truth_thresh,
          .iou_thresh = c.iou_thresh,
          .iou_thresh_kind = enumerator(c.iou_thresh_kind, IouKind::ciou, "iou_thresh_kind"),
          .box_loss = enumerator(c.box_loss, BoxLoss::ciou, "box_loss"),
          .iou_normalizer = c.iou_normalizer,
          .obj_normalizer = c.obj_normalizer,
          .cls_normalizer = c.cls_normalizer,
          .delta_normalizer = c.delta_normalizer,
          .max_delta = c.max_delta,
          .label_smooth_eps = c.label_smooth_eps,
          .focal_loss = c.focal_loss != 0,
          .objectness_smooth = c.objectness_smooth != 0,
          .smooth_bug = c.smooth_bug != 0,
          .class_multipliers = c.class_multipliers,
          .noobject_scale = c.noobject_scale,
          .object_scale = c.object_scale,
          .coord_scale = c.coord_scale,
          .class_scale = c.class_scale,
          .thresh = c.thresh,
          .rescore = c.rescore != 0,
          .bias_match = c.bias_match != 0};
}

AugmentSpec spec_of(const rook_augment_spec& c) {
  return {.jitter = c.jitter,
          .resize = c.resize,
          .scale = c.scale,
          .aspect = c.aspect,
          .shift = c.shift,
          .flip = c.flip,
          .hue = c.hue,
          .saturation = c.saturation,
          .exposure = c.exposure,
          .mosaic = c.mosaic,
          .mosaic_bound = c.mosaic_bound != 0,
          .min_visible = c.min_visible};
}

}  // namespace

GradientNorm convert(Call&, const rook_gradient_norm_args& a) {
  return {.gradient = a.gradient,
          .segments = segments_of(a.segments, a.segment_count),
          .sum_of_squares = a.sum_of_squares,
          .bad_segment = a.bad_segment,
          .workspace = a.workspace};
}

AdvanceStep convert(Call&, const rook_advance_step_args& a) {
  return {.step = step_of(a.step),
          .lrs = a.lrs,
          .ema_decays = a.ema_decays,
          .iterations = a.iterations,
          .images = a.images};
}

LimitGradient convert(Call&, const rook_limit_gradient_args& a) {
  return {.step = step_of(a.step),
          .sum_of_squares = a.sum_of_squares,
          .bad_segment = a.bad_segment,
          .scale = a.scale,
          .clip = a.clip};
}

SgdUpdate convert(Call&, const rook_sgd_update_args& a) {
  return {.weights = a.weights,
          .gradient = a.gradient,
          .velocity = a.velocity,
          .segments = segments_of(a.segments, a.segment_count),
          .lr = a.lr,
          .momentum = a.momentum,
          .gradient_scale = a.gradient_scale,
          .step = step_of(a.step)};
}

AdamWUpdate convert(Call&, const rook_adamw_update_args& a) {
  return {.weights = a.weights,
          .gradient = a.gradient,
          .m = a.m,
          .v = a.v,
          .segments = segments_of(a.segments, a.segment_count),
          .lr = a.lr,
          .beta1 = a.beta1,
          .beta2 = a.beta2,
          .eps = a.eps,
          .optimizer_step = a.optimizer_step,
          .gradient_scale = a.gradient_scale,
          .step = step_of(a.step)};
}

MuonUpdate convert(Call&, const rook_muon_update_args& a) {
  return {.weights = a.weights,
          .gradient = a.gradient,
          .velocity = a.velocity,
          .rows = a.rows,
          .cols = a.cols,
          .lr = a.lr,
          .lr_scale = a.lr_scale,
          .momentum = a.momentum,
          .iterations = a.iterations,
          .gradient_scale = a.gradient_scale,
          .workspace = a.workspace,
          .step = step_of(a.step)};
}

EmaUpdate convert(Call&, const rook_ema_update_args& a) {
  return {.average = a.average, .value = a.value, .count = a.count, .decay = a.decay, .step = step_of(a.step)};
}

HeadDecode convert(Call& call, const rook_head_decode_args& a) {
  return {.head = head_of(a.head),
          .logits = call.tensor(a.logits),
          .net_w = a.net_w,
          .net_h = a.net_h,
          .threshold = a.threshold,
          .detections = reinterpret_cast<Detection*>(a.detections),
          .counts = a.counts,
          .capacity = a.capacity,
          .first_index = a.first_index,
          .best_class = a.best_class != 0};
}

Nms convert(Call&, const rook_nms_args& a) {
  return {.detections = reinterpret_cast<Detection*>(a.detections),
          .counts = a.counts,
          .images = a.images,
          .capacity = a.capacity,
          .kind = enumerator(a.kind, NmsKind::diou, "nms.kind"),
          .threshold = a.threshold,
          .beta = a.beta,
          .workspace = a.workspace};
}

YoloLoss convert(Call& call, const rook_yolo_loss_args& a) {
  std::vector<LossHead> heads;
  for (const rook_loss_head& c : list_of<rook_loss_head>(a.heads, a.head_count, "heads"))
    heads.push_back({.head = head_of(c.head),
                     .params = params_of(c.params),
                     .logits = call.tensor(c.logits),
                     .dlogits = call.tensor(c.dlogits)});
  return {.mode = enumerator(a.mode, LossMode::darknet, "yolo_loss.mode"),
          .heads = call.keep(std::move(heads)),
          .truths = reinterpret_cast<const Truth*>(a.truths),
          .truth_counts = a.truth_counts,
          .max_truths = a.max_truths,
          .net_w = a.net_w,
          .net_h = a.net_h,
          .gradient_scale = a.gradient_scale,
          .seen = a.seen,
          .parts = reinterpret_cast<LossParts*>(a.parts),
          .image_loss = a.image_loss,
          .workspace = a.workspace,
          .step = step_of(a.step)};
}

Resize convert(Call& call, const rook_resize_args& a) {
  return {.pixels = a.pixels,
          .width = a.width,
          .height = a.height,
          .channels = a.channels,
          .y = call.tensor(a.y),
          .resampling = enumerator(a.resampling, Resampling::area, "resampling"),
          .fit = enumerator(a.fit, Fit::letterbox, "fit")};
}

Augment convert(Call& call, const rook_augment_args& a) {
  return {.images = list_of<CachedImage>(a.images, a.image_count, "images"),
          .order = list_of<std::int32_t>(a.order, a.order_count, "order"),
          .spec = spec_of(a.spec),
          .seed = a.seed,
          .iteration = a.iteration,
          .first_slot = a.first_slot,
          .y = call.tensor(a.y),
          .truths = reinterpret_cast<Truth*>(a.truths),
          .truth_counts = a.truth_counts,
          .max_truths = a.max_truths,
          .step = step_of(a.step),
          .order_stride = a.order_stride};
}

}  // namespace rook::c_api
