#include "model/trainer.h"
#include "model/checkpoint.h"

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

int scaled_size(int size, float factor) {
  return std::max(32, static_cast<int>(std::lround(static_cast<float>(size) * factor / 32)) * 32);
}

}  // namespace

std::int64_t iterations_of(const TrainConfig& config, int photos) {
  if (config.epochs > 0)
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(config.epochs * photos / config.batch)));
  if (config.schedule.iterations > 0) return config.schedule.iterations;
  throw Error("neither epochs nor max_batches say how long to train; give --epochs");
}

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
    : model_(model), config_(config), train_(train), valid_(valid), options_(options) {
  if (config_.batch < 1 || config_.subdivisions < 1 || config_.batch % config_.subdivisions != 0)
    throw Error(fmt::format("batch {} does not split into {} equal subdivisions", config_.batch, config_.subdivisions));
  if (!config_.width) config_.width = model.network->width;
  if (!config_.height) config_.height = model.network->height;
  iterations_ = iterations_of(config_, train.size());
  config_.schedule.iterations = iterations_;
  config_.schedule.seed = config_.seed;
  model_.preprocess = config_.preprocess;
  step_.emplace(model_, config_, train_, *options_.backend, options_.conv);
  // All memory that will be needed is taken now: it had better be short before the first step than in the night.
  for (const auto& [w, h] : sizes()) step_->reserve(w, h);
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
  step_->begin_at(iteration_);
}

void Trainer::prepare_new_classes(const std::vector<int>& nodes, const std::vector<std::string>& classes) {
  for (const Head& head : model_.network->heads) {
    const Param* bias = model_.params->find(head.source, ParamRole::bias);
    const Param* weights = model_.params->find(head.source, ParamRole::weights);
    const bool adapted = std::find(nodes.begin(), nodes.end(), head.source) != nodes.end();
    if (!adapted || !bias || !weights || head.spec.kind != HeadKind::yolo || head.spec.new_coords) continue;
    const auto biases = model_.params->value(*bias), all = model_.params->value(*weights);
    const std::size_t row = all.size() / biases.size();
    for (std::size_t cls = 0; cls < model_.names.size(); ++cls) {
      if (std::find(classes.begin(), classes.end(), model_.names[cls]) == classes.end()) continue;
      for (int anchor = 0; anchor < head.spec.anchors; ++anchor) {
        const std::size_t logit = static_cast<std::size_t>(anchor * head.spec.entries() + 5) + cls;
        biases[logit] = config_.class_bias;
        for (float& weight : all.subspan(logit * row, row)) weight *= kHeadWeightScale;
      }
    }
  }
  step_->begin_at(iteration_);
}

// The largest size of multi-scale training, those of the stages, the network's own; at the end the one to begin with.
std::vector<std::pair<int, int>> Trainer::sizes() const {
  std::vector<std::pair<int, int>> all{{config_.width, config_.height}};
  if (config_.multi_scale > 1)
    all.emplace_back(scaled_size(config_.width, config_.multi_scale), scaled_size(config_.height, config_.multi_scale));
  for (const SizeStage& stage : config_.stages) all.emplace_back(stage.width, stage.height);
  all.push_back(size_at(0));
  return all;
}

std::pair<int, int> Trainer::size_at(std::int64_t iteration) const {
  if (config_.multi_scale > 1) {
    // darknet.md 7.4: a new size every ten iterations, the network's own at the end so that statistics settle there.
    if (iteration + 100 >= iterations_) return {config_.width, config_.height};
    const auto block = philox(philox_key(config_.seed), {.slot = static_cast<std::uint32_t>(iteration / 10),
                                                         .stream = philox_stream(PhiloxUse::shuffle, 2)});
    float factor = 1 + philox_uniform(block.x) * (config_.multi_scale - 1);
    if (philox_uniform(block.y) < 0.5f) factor = 1 / factor;
    return {scaled_size(config_.width, factor), scaled_size(config_.height, factor)};
  }
  double begin = 0;
  for (const SizeStage& stage : config_.stages) {
    begin += stage.share * static_cast<double>(iterations_);
    if (static_cast<double>(iteration) < begin) return {stage.width, stage.height};
  }
  return {config_.width, config_.height};
}

// A step whose loss or gradient was not finite changed nothing, and nothing after it did.
void Trainer::check_finite(const StepReport& report) {
  const LossParts& loss = report.loss;
  const bool finite = std::isfinite(loss.box) && std::isfinite(loss.objectness) && std::isfinite(loss.classes);
  if (finite && report.bad_node < 0) return;
  const std::vector<std::int32_t> photos = step_->photos_of(report.iteration);
  std::string names;
  for (std::size_t i = 0; i < photos.size(); ++i)
    if (finite || !std::isfinite(report.image_loss[i])) names += (names.empty() ? "" : ", ") + train_.name(photos[i]);
  const std::string layer =
      report.bad_node < 0 ? "the head" : model_.network->graph.nodes()[static_cast<std::size_t>(report.bad_node)].name;
  if (finite)
    throw Error(
        fmt::format("iteration {}: the gradient of layer {} is not finite, photos: {}; nothing was saved since the "
                    "last good checkpoint; lower --lr or use --precision f32",
                    report.iteration + 1, layer, names));
  throw Error(
      fmt::format("iteration {}: the loss is not finite (box {}, objectness {}, classes {}), seen at layer {}, photos: "
                  "{}; nothing was saved "
                  "since the last good checkpoint; lower --lr or look at these labels with `rook data check`",
                  report.iteration + 1, loss.box, loss.objectness, loss.classes, layer, names));
}

void Trainer::handle(const StepReport& report) {
  check_finite(report);
  const auto now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - last_report_).count();
  last_report_ = now;
  if (!options_.on_step) return;
  const double per_epoch = static_cast<double>(train_.size()) / config_.batch;
  const std::int64_t iteration = report.iteration + 1;
  options_.on_step({.iteration = iteration,
                    .iterations = iterations_,
                    .epoch = static_cast<double>(iteration) / per_epoch,
                    .epochs = static_cast<double>(iterations_) / per_epoch,
                    .loss = report.loss,
                    .lr = report.lr,
                    .gradient_norm = report.gradient_norm,
                    .width = report.width,
                    .height = report.height,
                    .photos = config_.batch,
                    .seconds = seconds});
}

void Trainer::step() {
  const auto [width, height] = size_at(iteration_);
  step_->enqueue(width, height);
  ++iteration_;
  while (step_->pending() > step_->lag()) handle(*step_->collect());
}

void Trainer::finish_steps() {
  while (const auto report = step_->collect()) handle(*report);
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
  detector_->refresh(step_->optimizer().averaged_values());
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
                         .truths = photos.truths(first + i),
                         .ignored = photos.ignored(first + i)});
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
  info.best = config_.best_by == BestBy::map50 ? info.evaluation.map50 > result_.best_map50
                                               : info.evaluation.map50_95 > result_.best_map50_95;
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
  last_report_ = Clock::now();
  if (options_.on_evaluation) options_.on_evaluation(info);
}

TrainResult Trainer::run() {
  auto saved = Clock::now();
  bool saved_once = false;
  last_report_ = saved;
  result_.end = TrainEnd::finished;
  while (iteration_ < iterations_) {
    step();
    const bool evaluate = evaluation_due(), stopped = options_.stop && options_.stop->load();
    if (evaluate || stopped || iteration_ == iterations_) finish_steps();
    if (evaluate) evaluate_now();
    const bool reached = config_.until_map50 > 0 && result_.best_map50 >= config_.until_map50;
    if (reached) result_.end = TrainEnd::reached;
    const bool tired = config_.patience > 0 && evaluations_without_better_ >= config_.patience;
    if (tired && !reached) result_.end = TrainEnd::patience;
    if (reached || tired) break;
    if (stopped) {
      result_.end = TrainEnd::interrupted;
      break;
    }
    if (seconds_since(saved) > options_.save_every_s || (evaluate && !saved_once)) {
      finish_steps();
      save_last();
      saved = Clock::now();
      saved_once = true;
    }
  }
  save_last();
  result_.iterations = iteration_;
  return result_;
}

}  // namespace rook
