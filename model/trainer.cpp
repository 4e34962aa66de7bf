#include "model/trainer.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "kernels/philox.h"

namespace rook {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr float kHeadWeightScale = 0.3f;
constexpr float kEvalFloor = 0.001f;  // confidence floor of every mAP of a training

std::int64_t iterations_of(const TrainConfig& config, int photos) {
  if (config.epochs > 0)
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(config.epochs * photos / config.batch)));
  if (config.schedule.iterations > 0) return config.schedule.iterations;
  throw Error("neither epochs nor max_batches say how long to train; give --epochs");
}

// The cfg's heads, with the recipe's weights of the loss in fixed mode.
HeadLossParams loss_params(const Head& head, const TrainConfig& config) {
  HeadLossParams params = head.loss;
  if (config.loss == LossMode::darknet || head.spec.kind == HeadKind::region) return params;
  params.iou_normalizer = config.weights.box;
  params.obj_normalizer = config.weights.objectness;
  params.cls_normalizer = config.weights.classes;
  params.ignore_thresh = config.weights.ignore_thresh;
  params.iou_thresh = config.weights.iou_thresh;
  params.label_smooth_eps = config.weights.label_smooth;
  params.box_loss = config.weights.box_loss;
  return params;
}

}  // namespace

const char* name_of(TrainEnd end) {
  switch (end) {
    case TrainEnd::finished:
      return "finished";
    case TrainEnd::reached:
      return "reached the mAP asked for";
    case TrainEnd::patience:
      return "stopped early: no better evaluation";
    case TrainEnd::interrupted:
      return "interrupted";
  }
  return "?";
}

Trainer::Trainer(Model& model, const TrainConfig& config, const PhotoCache& train, const PhotoCache* valid,
                 const TrainerOptions& options)
    : model_(model),
      config_(config),
      train_(train),
      valid_(valid),
      options_(options),
      executor_(model.network->graph, *model.params,
                {.backend = options.backend,
                 .compute = config.precision,
                 .training = true,
                 .frozen = config.freeze,
                 .conv = options.conv,
                 .bn_momentum = config.bn_momentum,
                 .seed = config.seed}),
      order_(train.size(), config.seed),
      segments_(model.params->segments(config.decay, config.freeze)) {
  if (config_.batch < 1 || config_.subdivisions < 1 || config_.batch % config_.subdivisions != 0)
    throw Error(fmt::format("batch {} does not split into {} equal subdivisions", config_.batch, config_.subdivisions));
  if (!config_.width) config_.width = model.network->width;
  if (!config_.height) config_.height = model.network->height;
  iterations_ = iterations_of(config_, train.size());
  config_.schedule.iterations = iterations_;
  config_.schedule.seed = config_.seed;
  model_.preprocess = config_.preprocess;
  const std::size_t trainable = static_cast<std::size_t>(model.params->trainable());
  moment1_.assign(trainable, 0.0f);
  if (config_.optimizer == OptimizerKind::adamw) moment2_.assign(trainable, 0.0f);
  const int part = config_.batch / config_.subdivisions;
  truths_.resize(static_cast<std::size_t>(part) * config_.max_truths);
  truth_counts_.resize(static_cast<std::size_t>(part));
  image_loss_.resize(static_cast<std::size_t>(part));
  parts_.resize(1 + model.network->heads.size());
  for (const auto& [w, h] : {size_at(0), std::pair{config_.width, config_.height}}) executor_.resize(part, h, w);
}

void Trainer::prepare_fresh_heads(const std::vector<int>& nodes) {
  for (const Head& head : model_.network->heads) {
    if (std::find(nodes.begin(), nodes.end(), head.source) == nodes.end()) continue;
    const Param* bias = model_.params->find(head.source, ParamRole::bias);
    if (!bias || head.spec.kind != HeadKind::yolo || head.spec.new_coords) continue;
    const auto values = model_.params->value(*bias);
    for (int anchor = 0; anchor < head.spec.anchors; ++anchor) {
      float* entry = values.data() + anchor * head.spec.entries();
      entry[4] = config_.objectness_bias;
      std::fill_n(entry + 5, head.spec.classes, config_.class_bias);
    }
    // A quiet start: logits near their biases, as in RetinaNet (Lin et al. 2017, 4.1).
    if (const Param* weights = model_.params->find(head.source, ParamRole::weights))
      for (float& weight : model_.params->value(*weights)) weight *= kHeadWeightScale;
  }
}

std::pair<int, int> Trainer::size_at(std::int64_t iteration) const {
  if (config_.multi_scale > 1) {
    // darknet.md 7.4: a new size every ten iterations, the network's own at the end so that statistics settle there.
    if (iteration + 100 >= iterations_) return {config_.width, config_.height};
    const auto block = philox(philox_key(config_.seed), {.slot = static_cast<std::uint32_t>(iteration / 10),
                                                         .stream = philox_stream(PhiloxUse::shuffle, 2)});
    float factor = 1 + philox_uniform(block.x) * (config_.multi_scale - 1);
    if (philox_uniform(block.y) < 0.5f) factor = 1 / factor;
    const auto scaled = [&](int size) { return std::max(32, static_cast<int>(std::lround(size * factor / 32)) * 32); };
    return {scaled(config_.width), scaled(config_.height)};
  }
  double begin = 0;
  for (const SizeStage& stage : config_.stages) {
    begin += stage.share * static_cast<double>(iterations_);
    if (static_cast<double>(iteration) < begin) return {stage.width, stage.height};
  }
  return {config_.width, config_.height};
}

void Trainer::forward_backward(int part_index, std::int64_t first_sample) {
  const int part = config_.batch / config_.subdivisions;
  std::vector<std::int32_t> photos(static_cast<std::size_t>(part));
  for (int i = 0; i < part; ++i) photos[i] = order_.at(first_sample + i);
  AugmentSpec spec = config_.augment;
  if (static_cast<double>(iteration_) >= config_.mosaic_until * static_cast<double>(iterations_)) spec.mosaic = 0;
  const std::uint32_t iteration = static_cast<std::uint32_t>(iteration_);
  options_.backend->augment({.images = train_.images(),
                             .order = photos,
                             .spec = spec,
                             .seed = config_.seed,
                             .iteration = iteration,
                             .first_slot = static_cast<std::uint32_t>(part_index * part),
                             .y = executor_.input(),
                             .truths = truths_.data(),
                             .truth_counts = truth_counts_.data(),
                             .max_truths = config_.max_truths},
                            {});
  // A counter of its own for each part, so that no two draw the same dropout mask.
  executor_.forward(iteration * static_cast<std::uint32_t>(config_.subdivisions) +
                    static_cast<std::uint32_t>(part_index));
  std::vector<LossHead> heads;
  for (const Head& head : model_.network->heads)
    heads.push_back({.head = head.spec,
                     .params = loss_params(head, config_),
                     .logits = executor_.output(head.source),
                     .dlogits = executor_.gradient(head.source)});
  // fixed: each part is normalised by its own positives; darknet: sums over the batch, divided by its size (7.2).
  const float scale = config_.loss == LossMode::fixed ? 1.0f / config_.subdivisions : 1.0f / config_.batch;
  YoloLoss loss{.mode = config_.loss,
                .heads = heads,
                .truths = truths_.data(),
                .truth_counts = truth_counts_.data(),
                .max_truths = config_.max_truths,
                .net_w = executor_.input().w,
                .net_h = executor_.input().h,
                .gradient_scale = scale,
                .seen = iteration_ * config_.batch,
                .parts = parts_.data(),
                .image_loss = image_loss_.data()};
  loss_workspace_.resize(std::max(loss_workspace_.size(), options_.backend->yolo_loss_workspace(loss)));
  loss.workspace = loss_workspace_.data();
  options_.backend->yolo_loss(loss, {});
  check_finite(photos);
  executor_.backward();
}

void Trainer::check_finite(const std::vector<std::int32_t>& photos) const {
  const LossParts& total = parts_.front();
  if (std::isfinite(total.box) && std::isfinite(total.objectness) && std::isfinite(total.classes)) return;
  std::string names;
  for (std::size_t i = 0; i < photos.size(); ++i)
    if (!std::isfinite(image_loss_[i])) names += (names.empty() ? "" : ", ") + train_.name(photos[i]);
  std::string layer = "the head";
  for (const Head& head : model_.network->heads) {
    const Tensor logits = executor_.output(head.source);
    const float* values = logits.as<float>();
    if (!std::all_of(values, values + logits.elements(), [](float v) { return std::isfinite(v); }))
      layer = model_.network->graph.nodes()[head.source].name;
  }
  throw Error(
      fmt::format("iteration {}: the loss is not finite (box {}, objectness {}, classes {}), seen at layer {}, photos: "
                  "{}; nothing was saved "
                  "since the last good checkpoint; lower --lr or look at these labels with `rook data check`",
                  iteration_ + 1, total.box, total.objectness, total.classes, layer, names));
}

void Trainer::update(float lr) {
  Params& params = *model_.params;
  double squares = 0;
  std::int32_t bad = -1;
  options_.backend->gradient_norm(
      {.gradient = params.gradients().data(), .segments = segments_, .sum_of_squares = &squares, .bad_segment = &bad},
      {});
  if (bad >= 0)
    throw Error(
        fmt::format("iteration {}: the gradient of layer {} is not finite; nothing was saved since the last good "
                    "checkpoint; lower --lr or use "
                    "--precision f32",
                    iteration_ + 1, model_.network->graph.nodes()[segments_[bad].layer].name));
  gradient_norm_ = std::sqrt(squares);
  const float clip =
      config_.clip > 0 && gradient_norm_ > config_.clip ? static_cast<float>(config_.clip / gradient_norm_) : 1.0f;
  if (config_.optimizer == OptimizerKind::adamw) {
    options_.backend->adamw_update({.weights = params.values().data(),
                                    .gradient = params.gradients().data(),
                                    .m = moment1_.data(),
                                    .v = moment2_.data(),
                                    .segments = segments_,
                                    .lr = lr,
                                    .beta1 = config_.momentum,
                                    .beta2 = config_.beta2,
                                    .step = iteration_ + 1,
                                    .gradient_scale = clip},
                                   {});
  } else {
    options_.backend->sgd_update({.weights = params.values().data(),
                                  .gradient = params.gradients().data(),
                                  .velocity = moment1_.data(),
                                  .segments = segments_,
                                  .lr = lr,
                                  .momentum = config_.momentum,
                                  .gradient_scale = clip},
                                 {});
  }
  if (config_.ema > 0) {
    if (ema_.empty()) ema_.assign(params.values().begin(), params.values().end());
    // Young averages forget faster, so that the start does not weigh on a short training.
    const float age = static_cast<float>(iteration_ + 1), decay = std::min(config_.ema, (1 + age) / (10 + age));
    options_.backend->ema_update(
        {.average = ema_.data(), .value = params.values().data(), .count = params.total(), .decay = decay}, {});
  }
}

float Trainer::step() {
  const auto [width, height] = size_at(iteration_);
  const int part = config_.batch / config_.subdivisions;
  executor_.resize(part, height, width);
  executor_.prepare();
  std::span<float> gradients = model_.params->gradients();
  std::fill(gradients.begin(), gradients.end(), 0.0f);
  LossParts sum{};
  for (int i = 0; i < config_.subdivisions; ++i) {
    forward_backward(i, iteration_ * config_.batch + i * part);
    const LossParts& now = parts_.front();
    const float share = 1.0f / config_.subdivisions;
    sum.box += now.box * (config_.loss == LossMode::fixed ? 1.0f : share);
    sum.objectness += now.objectness * (config_.loss == LossMode::fixed ? 1.0f : share);
    sum.classes += now.classes * (config_.loss == LossMode::fixed ? 1.0f : share);
    sum.mean_iou += now.mean_iou * share;
    sum.mean_obj += now.mean_obj * share;
    sum.mean_noobj += now.mean_noobj * share;
    sum.positives += now.positives;
    sum.truths += now.truths;
    sum.unmatched += now.unmatched;
  }
  step_loss_ = sum;
  const float lr = rate(config_.schedule, iteration_ + 1);
  update(lr);
  ++iteration_;
  return lr;
}

float* Trainer::ema_or_live() {
  return ema_.empty() ? model_.params->values().data() : ema_.data();
}

std::vector<ImageResult> Trainer::detect_all(const PhotoCache& photos) {
  if (!detector_)
    detector_.emplace(*model_.network, *model_.params, config_.preprocess,
                      DetectorOptions{.backend = options_.backend,
                                      .compute = config_.precision,
                                      .batch = std::min(8, photos.size()),
                                      .width = config_.width,
                                      .height = config_.height,
                                      .threshold = kEvalFloor,
                                      .nms_kind = NmsKind::plain,
                                      .nms_threshold = 0.45f,
                                      .best_class = false,
                                      .conv = options_.conv});
  detector_->refresh(ema_or_live());
  std::vector<ImageResult> results;
  for (int first = 0; first < photos.size(); first += detector_->batch()) {
    const int count = std::min(detector_->batch(), photos.size() - first);
    for (int i = 0; i < count; ++i) {
      const auto [w, h] = photos.photo_size(first + i);
      detector_->load_prepared(i, photos.images()[first + i].pixels, w, h);
    }
    auto boxes = detector_->run(count);
    for (int i = 0; i < count; ++i) {
      const auto [w, h] = photos.photo_size(first + i);
      results.push_back({.name = photos.name(first + i),
                         .width = w,
                         .height = h,
                         .detections = std::move(boxes[i]),
                         .truths = photos.truths(first + i)});
    }
  }
  return results;
}

bool Trainer::evaluation_due() const {
  if (!valid_) return false;
  if (iteration_ == iterations_) return true;
  if (config_.eval_every <= 0) return false;
  const double per_epoch = static_cast<double>(train_.size()) / config_.batch;
  const auto count = [&](std::int64_t iteration) {
    return std::floor(static_cast<double>(iteration) / (per_epoch * config_.eval_every) + 1e-9);
  };
  return static_cast<double>(iteration_) >= config_.eval_from * per_epoch && count(iteration_) > count(iteration_ - 1);
}

void Trainer::evaluate_now() {
  const auto start = Clock::now();
  EvalInfo info{.iteration = iteration_,
                .epoch = static_cast<double>(iteration_) * config_.batch / train_.size(),
                .evaluation = {}};
  info.evaluation = evaluate(detect_all(*valid_), model_.names);
  info.evaluation.preprocess = to_text(config_.preprocess);
  info.best = info.evaluation.map50 > result_.best_map50;
  if (info.best) {
    result_.best_map50 = info.evaluation.map50;
    result_.best_map50_95 = info.evaluation.map50_95;
    result_.best_epoch = info.epoch;
    evaluations_without_better_ = 0;
    write_checkpoint(options_.folder / "best.safetensors", *model_.network, *model_.params, snapshot(false));
  } else {
    ++evaluations_without_better_;
  }
  info.seconds = seconds_since(start);
  if (options_.on_evaluation) options_.on_evaluation(info);
}

TrainResult Trainer::run() {
  auto saved = Clock::now();
  result_.end = TrainEnd::finished;
  while (iteration_ < iterations_) {
    const auto start = Clock::now();
    const float lr = step();
    if (options_.on_step) {
      const Tensor x = executor_.input();
      const double per_epoch = static_cast<double>(train_.size()) / config_.batch;
      options_.on_step({.iteration = iteration_,
                        .iterations = iterations_,
                        .epoch = static_cast<double>(iteration_) / per_epoch,
                        .epochs = static_cast<double>(iterations_) / per_epoch,
                        .loss = step_loss_,
                        .lr = lr,
                        .gradient_norm = gradient_norm_,
                        .width = x.w,
                        .height = x.h,
                        .photos = config_.batch,
                        .seconds = seconds_since(start)});
    }
    if (evaluation_due()) evaluate_now();
    const bool reached = config_.until_map50 > 0 && result_.best_map50 >= config_.until_map50;
    if (reached) result_.end = TrainEnd::reached;
    const bool tired = config_.patience > 0 && evaluations_without_better_ >= config_.patience;
    if (tired && !reached) result_.end = TrainEnd::patience;
    if (reached || tired) break;
    if (options_.stop && options_.stop->load()) {
      result_.end = TrainEnd::interrupted;
      break;
    }
    if (seconds_since(saved) > options_.save_every_s) {
      save_last();
      saved = Clock::now();
    }
  }
  save_last();
  result_.iterations = iteration_;
  return result_;
}

}  // namespace rook
