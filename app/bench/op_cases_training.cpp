#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "app/bench/op_cases.h"
#include "kernels/philox.h"

namespace rook::app {
namespace {

using Run = std::function<void()>;

constexpr std::int64_t kParams = 6'054'000;  // of yolov4-tiny
constexpr int kNet = 416, kClasses = 80, kAnchors = 3, kMaxTruths = 32, kTruths = 10;

void add_flat(std::vector<OpCase>& all, const char* op, double flops_per_element, std::function<Run(OpData&)> make) {
  all.push_back({.op = op,
                 .shape = fmt::format("{:.2f} M parameters", kParams / 1e6),
                 .flops = flops_per_element * kParams,
                 .per_image = false,
                 .typed = false,
                 .make = std::move(make)});
}

std::span<const ParamSegment> one_segment(OpData& d) {
  const ParamSegment segment{.begin = 0, .end = kParams, .lr_scale = 1, .decay = 1e-4f};
  return {d.upload<ParamSegment>({&segment, 1}), 1};
}

// Of the products that kernels/muon.h tells: two along the long side, the others of small squares, of which the first
// iteration accumulates nothing and the last needs no next G.
double muon_flops(double side, double length, int iterations) {
  const double squares = iterations + 3.0 * (iterations - 1);
  return 4 * side * side * length + 2 * squares * side * side * side;
}

void add_optimizer(std::vector<OpCase>& all) {
  add_flat(all, "gradient_norm", 2, [](OpData& d) -> Run {
    GradientNorm args{.gradient = d.in_floats(kParams),
                      .segments = one_segment(d),
                      .sum_of_squares = d.out_doubles(1),
                      .bad_segment = d.out_ints(1)};
    args.workspace = d.scratch(d.backend().gradient_norm_workspace(args));
    return [args, &d] { d.backend().gradient_norm(args, d.stream()); };
  });
  add_flat(all, "sgd_update", 6, [](OpData& d) -> Run {
    const SgdUpdate args{.weights = d.inout_floats(kParams),
                         .gradient = d.in_floats(kParams),
                         .velocity = d.inout_floats(kParams),
                         .segments = one_segment(d),
                         .lr = 1e-4f};
    return [args, &d] { d.backend().sgd_update(args, d.stream()); };
  });
  add_flat(all, "adamw_update", 13, [](OpData& d) -> Run {
    const AdamWUpdate args{.weights = d.inout_floats(kParams),
                           .gradient = d.in_floats(kParams),
                           .m = d.inout_floats(kParams),
                           .v = d.inout_floats(kParams, 0, 1),
                           .segments = one_segment(d),
                           .lr = 1e-4f};
    return [args, &d] { d.backend().adamw_update(args, d.stream()); };
  });
  all.push_back({.op = "muon_update",
                 .shape = "512 x 4608",
                 .flops = muon_flops(512, 4608, MuonUpdate{}.iterations),
                 .per_image = false,
                 .typed = false,
                 .make = [](OpData& d) -> Run {
                   constexpr int rows = 512, cols = 4608;
                   MuonUpdate args{.weights = d.inout_floats(rows * cols),
                                   .gradient = d.in_floats(rows * cols),
                                   .velocity = d.inout_floats(rows * cols),
                                   .rows = rows,
                                   .cols = cols,
                                   .lr = 1e-3f};
                   args.workspace = d.scratch(d.backend().muon_update_workspace(args));
                   return [args, &d] { d.backend().muon_update(args, d.stream()); };
                 }});
  add_flat(all, "ema_update", 3, [](OpData& d) -> Run {
    const EmaUpdate args{.average = d.inout_floats(kParams), .value = d.in_floats(kParams), .count = kParams};
    return [args, &d] { d.backend().ema_update(args, d.stream()); };
  });
  all.push_back({.op = "fold_batchnorm",
                 .shape = "512 x 2304",
                 .flops = 512.0 * 2304,
                 .per_image = false,
                 .typed = false,
                 .make = [](OpData& d) -> Run {
                   constexpr int k = 512, count = 2304;
                   const FoldBatchNorm args{.weights = d.in_floats(k * count),
                                            .k = k,
                                            .count = count,
                                            .gamma = d.in_floats(k, 0.5f, 1.5f),
                                            .beta = d.in_floats(k),
                                            .running_mean = d.in_floats(k),
                                            .running_var = d.in_floats(k, 0.5f, 1.5f),
                                            .folded_weights = d.out_floats(k * count),
                                            .folded_bias = d.out_floats(k)};
                   return [args, &d] { d.backend().fold_batchnorm(args, d.stream()); };
                 }});
}

// yolov4-tiny's heads, at 13x13 and 26x26.
HeadSpec head_spec(int which) {
  constexpr float kW[] = {10, 23, 37, 81, 135, 344}, kH[] = {14, 27, 58, 82, 169, 319};
  HeadSpec head{.classes = kClasses, .anchors = kAnchors, .total_anchors = 6, .scale_x_y = 1.05f};
  std::copy_n(kW, 6, head.anchor_w);
  std::copy_n(kH, 6, head.anchor_h);
  std::iota(head.mask, head.mask + kAnchors, which == 0 ? 3 : 0);
  return head;
}
int side_of(int head) {
  return kNet / 32 << head;
}

// Decoding of both heads into cleared lists; with suppression after it, as a detector does. About 190 candidates.
Run decode(OpData& d, bool suppress) {
  constexpr int kCapacity = 4096;
  const std::size_t images = static_cast<std::size_t>(d.batch());
  auto* const detections = static_cast<Detection*>(d.scratch(images * kCapacity * sizeof(Detection)));
  std::int32_t* const counts = d.out_ints(d.batch());
  std::vector<HeadDecode> heads;
  std::int32_t first = 0;
  for (const int h : {0, 1}) {
    const int side = side_of(h);
    heads.push_back({.head = head_spec(h),
                     .logits = d.in_of(DType::f32, side, side, kAnchors * (5 + kClasses)),
                     .net_w = kNet,
                     .net_h = kNet,
                     .threshold = 0.68f,
                     .detections = detections,
                     .counts = counts,
                     .capacity = kCapacity,
                     .first_index = first,
                     .best_class = true});
    first += side * side * kAnchors;
  }
  Nms nms{.detections = detections, .counts = counts, .images = d.batch(), .capacity = kCapacity};
  nms.workspace = d.scratch(d.backend().nms_workspace(nms));
  return [heads, nms, suppress, images, &d] {
    d.backend().runtime->clear(nms.counts, images * sizeof(std::int32_t), d.stream());
    for (const HeadDecode& head : heads) d.backend().head_decode(head, d.stream());
    if (suppress) d.backend().nms(nms, d.stream());
  };
}

std::vector<Truth> random_truths(int images) {
  std::vector<Truth> truths(static_cast<std::size_t>(images) * kMaxTruths);
  for (std::size_t i = 0; i < truths.size(); ++i) {
    const PhiloxBlock drawn = philox(philox_key(5), {.slot = static_cast<std::uint32_t>(i)});
    const Uniform4 u = philox_uniform(drawn);
    truths[i] = {0.1f + 0.8f * u.x, 0.1f + 0.8f * u.y, 0.03f + 0.2f * u.z, 0.03f + 0.2f * u.w,
                 static_cast<std::int32_t>(drawn.x % kClasses)};
  }
  return truths;
}

Run loss(OpData& d) {
  std::vector<LossHead> heads;
  for (const int h : {0, 1}) {
    const int side = side_of(h), channels = kAnchors * (5 + kClasses);
    heads.push_back(
        {.head = head_spec(h),
         .params = {.ignore_thresh = 0.7f, .iou_thresh = 0.213f, .box_loss = BoxLoss::ciou, .iou_normalizer = 5},
         .logits = d.in_of(DType::f32, side, side, channels),
         .dlogits = d.out(side, side, channels)});
  }
  const std::vector<std::int32_t> counts(static_cast<std::size_t>(d.batch()), kTruths);
  const std::vector<Truth> truths = random_truths(d.batch());
  YoloLoss args{.heads = heads,
                .truths = d.upload<Truth>(truths),
                .truth_counts = d.upload<std::int32_t>(counts),
                .max_truths = kMaxTruths,
                .net_w = kNet,
                .net_h = kNet,
                .parts = static_cast<LossParts*>(d.scratch(3 * sizeof(LossParts))),
                .image_loss = d.out_floats(d.batch())};
  args.workspace = d.scratch(d.backend().yolo_loss_workspace(args));
  return [args, heads, &d]() mutable {
    args.heads = heads;
    d.backend().yolo_loss(args, d.stream());
  };
}

std::vector<std::uint8_t> random_pixels(std::size_t count) {
  std::vector<std::uint8_t> pixels(count);
  for (std::size_t i = 0; i < count; ++i)
    pixels[i] = static_cast<std::uint8_t>(philox(philox_key(9), {.slot = static_cast<std::uint32_t>(i)}).y >> 24);
  return pixels;
}

Run resize(OpData& d, Resampling resampling) {
  constexpr int kWidth = 1280, kHeight = 720;
  const auto pixels = random_pixels(std::size_t{kWidth} * kHeight * 3);
  Tensor y = d.out(kNet, kNet, 3);
  y.n = 1;  // one photo at a time, whatever the batch
  const Resize args{
      .pixels = d.upload<std::uint8_t>(pixels), .width = kWidth, .height = kHeight, .y = y, .resampling = resampling};
  return [args, &d] { d.backend().resize(args, d.stream()); };
}

// Scale, shift, flip, colours; half of the outputs mosaics.
Run augment(OpData& d) {
  constexpr int kPhotos = 8;
  const auto pixels = random_pixels(std::size_t{kNet} * kNet * 3);
  const std::vector<Truth> truths = random_truths(1);
  const std::uint8_t* const photo = d.upload<std::uint8_t>(pixels);
  const Truth* const boxes = d.upload<Truth>(truths);
  const std::vector<CachedImage> images(
      kPhotos, {.pixels = photo, .width = kNet, .height = kNet, .truths = boxes, .truth_count = kTruths});
  std::vector<std::int32_t> order(static_cast<std::size_t>(d.batch()));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i % kPhotos);
  const Augment args{
      .images = {d.upload<CachedImage>(images), images.size()},
      .order = {d.upload<std::int32_t>(order), order.size()},
      .spec = {.scale = 0.3f, .shift = 0.1f, .hue = 0.1f, .saturation = 1.5f, .exposure = 1.5f, .mosaic = 0.5f},
      .seed = 1,
      .y = d.out(kNet, kNet, 3),
      .truths = static_cast<Truth*>(d.scratch(static_cast<std::size_t>(d.batch()) * kMaxTruths * sizeof(Truth))),
      .truth_counts = d.out_ints(d.batch()),
      .max_truths = kMaxTruths};
  return [args, &d] { d.backend().augment(args, d.stream()); };
}

}  // namespace

std::vector<OpCase> training_cases() {
  std::vector<OpCase> all;
  add_optimizer(all);
  constexpr double kCells = 13 * 13 + 26 * 26, kLogits = kCells * kAnchors * (5 + kClasses);
  all.push_back({.op = "head_decode",
                 .shape = "13x13 and 26x26, 80 classes",
                 .flops = kLogits,
                 .typed = false,
                 .make = [](OpData& d) { return decode(d, false); }});
  all.push_back({.op = "head_decode, nms",
                 .shape = "13x13 and 26x26, 80 classes",
                 .flops = kLogits,
                 .typed = false,
                 .make = [](OpData& d) { return decode(d, true); }});
  all.push_back({.op = "yolo_loss", .shape = "13x13 and 26x26, 80 classes", .flops = 10 * kLogits, .make = loss});
  for (const auto& [name, resampling] :
       {std::pair("half-pixel", Resampling::half_pixel), std::pair("area", Resampling::area)})
    all.push_back({.op = fmt::format("resize {}", name),
                   .shape = "1280x720 > 416x416",
                   .flops = 8.0 * kNet * kNet * 3,
                   .per_image = false,
                   .make = [resampling = resampling](OpData& d) { return resize(d, resampling); },
                   .tolerance = {1e-5, 1.0 / 64}});
  all.push_back({.op = "augment",
                 .shape = "416x416",
                 .flops = 40.0 * kNet * kNet * 3,
                 .make = augment,
                 .tolerance = {1e-3, 1.0 / 64}});
  return all;
}

}  // namespace rook::app
