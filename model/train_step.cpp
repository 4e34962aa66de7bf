#include "model/train_step.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "kernels/augment_plan.h"
#include "model/augmented.h"

namespace rook {
namespace {

constexpr std::size_t kReserve = std::size_t{256}
                                 << 20;  // device memory that photos leave for larger sizes and libraries

// Young averages forget faster, so that the start does not weigh on a short training.
float ema_decay(const TrainConfig& config, std::int64_t iteration) {
  const float age = static_cast<float>(iteration + 1);
  return std::min(config.ema, (1 + age) / (10 + age));
}

void add_parts(LossParts& sum, const LossParts& part, float share_of_loss, float share) {
  sum.box += part.box * share_of_loss;
  sum.objectness += part.objectness * share_of_loss;
  sum.classes += part.classes * share_of_loss;
  sum.mean_iou += part.mean_iou * share;
  sum.mean_obj += part.mean_obj * share;
  sum.mean_noobj += part.mean_noobj * share;
  sum.positives += part.positives;
  sum.truths += part.truths;
  sum.unmatched += part.unmatched;
}

}  // namespace

HeadLossParams loss_params(const Head& head, const TrainConfig& config) {
  HeadLossParams params = head.loss;
  params.smooth_bug = config.smooth_bug;
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

TrainStep::TrainStep(Model& model, const TrainConfig& config, const PhotoCache& train, const Backend& backend,
                     const ConvChoice& conv)
    : model_(model),
      config_(config),
      cache_(train),
      backend_(backend),
      runtime_(*backend.runtime),
      executor_(model.network->graph, *model.params,
                {.backend = &backend,
                 .compute = config.precision,
                 .training = true,
                 .frozen = config.freeze,
                 .conv = conv,
                 .bn_momentum = config.bn_momentum,
                 .seed = config.seed}),
      order_(train.size(), config.seed),
      optimizer_(model, config, executor_, backend),
      tables_(runtime_),
      state_(runtime_),
      truths_(runtime_),
      metrics_(runtime_),
      loss_workspace_(runtime_) {
  const std::size_t heads = model.network->heads.size(), batch = static_cast<std::size_t>(config.batch);
  Places places;
  layout_.parts = places.add(static_cast<std::size_t>(config.subdivisions) * (1 + heads) * sizeof(LossParts));
  layout_.image_loss = places.add(batch * sizeof(float));
  layout_.norm = places.add(sizeof(double));
  layout_.bad = places.add(sizeof(std::int32_t));
  layout_.bytes = places.bytes();
  metrics_.reserve(layout_.bytes);
  state_.reserve(sizeof(StepState));
  const std::size_t part = static_cast<std::size_t>(photos_per_part());
  truths_at_ = arena_aligned(part * sizeof(std::int32_t));
  truths_.reserve(truths_at_ + part * static_cast<std::size_t>(config.max_truths) * sizeof(Truth));
  upload_tables();
  for (std::size_t i = 0; i <= lag(); ++i)
    idle_.push_back({.report = {}, .done = runtime_.create_event(), .metrics = {runtime_, layout_.bytes}});
  executor_.resize(photos_per_part(), config.height, config.width);
  photos_.emplace(train, runtime_, kReserve, 4 * batch);  // a mosaic shows four
  begin_at(0);
}

TrainStep::~TrainStep() {
  for (const Pending& pending : pending_) runtime_.destroy_event(pending.done);
  for (const Pending& pending : idle_) runtime_.destroy_event(pending.done);
}

// What a step looks up by its iteration, and the class weights of heads.
void TrainStep::upload_tables() {
  const std::int64_t iterations = config_.schedule.iterations;
  std::vector<float> lrs, decays;
  std::vector<std::int32_t> order;
  for (std::int64_t i = 0; i < iterations; ++i) {
    lrs.push_back(rate(config_.schedule, i + 1));
    decays.push_back(ema_decay(config_, i));
    const auto photos = photos_of(i);
    order.insert(order.end(), photos.begin(), photos.end());
  }
  Places places;
  std::vector<std::pair<std::size_t, std::span<const std::byte>>> uploads;
  const auto place = [&](const auto& values) {
    const auto bytes = std::as_bytes(std::span(values));
    uploads.emplace_back(places.add(bytes.size()), bytes);
    return uploads.back().first;
  };
  const std::size_t lrs_at = place(lrs), decays_at = place(decays), order_at = place(order);
  std::vector<std::size_t> multipliers_at;
  for (const Head& head : model_.network->heads) {
    const float* const values = head.loss.class_multipliers;
    multipliers_at.push_back(place(std::span(values, values ? static_cast<std::size_t>(head.spec.classes) : 0)));
  }
  tables_.reserve(places.bytes());
  for (const auto& [at, bytes] : uploads) runtime_.copy(tables_.data() + at, bytes.data(), bytes.size(), {});
  runtime_.synchronize({});
  const auto pointer = [&](std::size_t at) { return tables_.data() + at; };
  lrs_ = reinterpret_cast<const float*>(pointer(lrs_at));
  ema_decays_ = reinterpret_cast<const float*>(pointer(decays_at));
  photo_order_ = reinterpret_cast<const std::int32_t*>(pointer(order_at));
  for (std::size_t h = 0; h < model_.network->heads.size(); ++h) {
    const Head& head = model_.network->heads[h];
    heads_.push_back({.head = head.spec, .params = loss_params(head, config_), .logits = {}, .dlogits = {}});
    if (head.loss.class_multipliers)
      heads_.back().params.class_multipliers = reinterpret_cast<const float*>(pointer(multipliers_at[h]));
  }
}

std::vector<std::int32_t> TrainStep::photos_of(std::int64_t iteration) {
  std::vector<std::int32_t> photos;
  for (int i = 0; i < config_.batch; ++i) photos.push_back(order_.at(iteration * config_.batch + i));
  return photos;
}

void TrainStep::begin_at(std::int64_t iteration) {
  iteration_ = iteration;
  executor_.upload();
  const StepState state{.seen = iteration * config_.batch,
                        .optimizer_step = iteration + 1,
                        .iteration = static_cast<std::uint32_t>(iteration),
                        .lr = rate(config_.schedule, iteration + 1),
                        .ema_decay = ema_decay(config_, iteration)};
  runtime_.copy(state_.data(), &state, sizeof state, executor_.stream());
  runtime_.synchronize(executor_.stream());
}

void TrainStep::reserve(int width, int height) {
  executor_.resize(photos_per_part(), height, width);
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    const int source = model_.network->heads[h].source;
    heads_[h].logits = executor_.output(source);
    heads_[h].dlogits = executor_.gradient(source);
  }
  loss_workspace_.reserve(backend_.yolo_loss_workspace(loss_of(0)));
}

void TrainStep::enqueue(int width, int height) {
  reserve(width, height);
  optimizer_.start_averages();
  // Recordings hold pointers: memory that grew made them worthless.
  if (const std::size_t memory = executor_.memory() + loss_workspace_.bytes(); memory != recorded_memory_) {
    recordings_.clear();
    recorded_memory_ = memory;
  }
  const bool mosaic = has_mosaics(config_, iteration_);
  if (!photos_->resident()) photos_->bring(photos_read(mosaic), executor_.stream());
  if (times_) {
    runtime_.synchronize(executor_.stream());
    launch(mosaic);
  } else {
    recordings_.try_emplace({width, height, mosaic}, runtime_, executor_.stream()).first->second.run([&] {
      launch(mosaic);
    });
  }
  Pending pending = std::move(idle_.back());
  idle_.pop_back();
  pending.report = {
      .iteration = iteration_, .width = width, .height = height, .lr = rate(config_.schedule, iteration_ + 1)};
  runtime_.copy(pending.metrics.data(), metrics_.data(), layout_.bytes, executor_.stream());
  runtime_.record(pending.done, executor_.stream());
  pending_.push_back(std::move(pending));
  ++iteration_;
}

template <class Part>
void TrainStep::timed(double StepTimes::*sum, Part&& part) {
  if (!times_) return part();
  const auto start = std::chrono::steady_clock::now();
  part();
  runtime_.synchronize(executor_.stream());
  times_->*sum += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// All launches of a step, in order. They read the iteration from the device's memory. Bringing the weights into the
// form that convolutions read is part of their update.
void TrainStep::launch(bool mosaic) {
  const Stream stream = executor_.stream();
  timed(&StepTimes::update, [&] {
    executor_.prepare();
    runtime_.clear(executor_.gradients(), static_cast<std::size_t>(model_.params->trainable()) * sizeof(float), stream);
  });
  for (int part = 0; part < config_.subdivisions; ++part) forward_backward(part, mosaic);
  timed(&StepTimes::update, [&] {
    StepState* const step = state_.as<StepState>();
    optimizer_.update(step, reinterpret_cast<double*>(metrics_.data() + layout_.norm),
                      reinterpret_cast<std::int32_t*>(metrics_.data() + layout_.bad));
    optimizer_.average(step);
    backend_.advance_step({.step = step,
                           .lrs = lrs_,
                           .ema_decays = ema_decays_,
                           .iterations = config_.schedule.iterations,
                           .images = config_.batch},
                          stream);
  });
}

YoloLoss TrainStep::loss_of(int part) {
  const std::size_t parts = heads_.size() + 1;
  const std::int32_t* const counts = truths_.as<std::int32_t>();
  return {.mode = config_.loss,
          .heads = heads_,
          .truths = reinterpret_cast<const Truth*>(truths_.data() + truths_at_),
          .truth_counts = counts,
          .max_truths = config_.max_truths,
          .net_w = executor_.input().w,
          .net_h = executor_.input().h,
          // fixed: each part is normalised by its own positives; darknet: sums over the batch, divided by its size
          // (darknet.md 7.2).
          .gradient_scale = config_.loss == LossMode::fixed ? 1.0f / config_.subdivisions : 1.0f / config_.batch,
          .parts = reinterpret_cast<LossParts*>(metrics_.data() + layout_.parts) + part * parts,
          .image_loss = reinterpret_cast<float*>(metrics_.data() + layout_.image_loss) + part * photos_per_part(),
          .workspace = loss_workspace_.data(),
          .step = state_.as<StepState>()};
}

Augment TrainStep::augmentation(int part, bool mosaic) const {
  Augment args = augmentation_of(config_, part, mosaic);
  args.images = photos_->images();
  args.order = {photo_order_ + args.first_slot, static_cast<std::size_t>(photos_per_part())};
  args.y = executor_.input();
  args.truths = reinterpret_cast<Truth*>(truths_.data() + truths_at_);
  args.truth_counts = truths_.as<std::int32_t>();
  args.step = state_.as<StepState>();
  return args;
}

// The photos that the next step's augmentation will look at, from the same plans that it makes on the device.
std::vector<std::int32_t> TrainStep::photos_read(bool mosaic) {
  const std::vector<std::int32_t> order = photos_of(iteration_);
  std::vector<std::int32_t> photos;
  for (int part = 0; part < config_.subdivisions; ++part) {
    Augment args = augmentation(part, mosaic);
    args.images = cache_.images();
    args.order = std::span(order).subspan(args.first_slot, args.order.size());
    args.step = nullptr;
    args.iteration = static_cast<std::uint32_t>(iteration_);
    for (int output = 0; output < photos_per_part(); ++output) {
      const AugmentPlan plan = plan_augment(args, output);
      for (int p = 0; p < plan.patches; ++p) photos.push_back(plan.patch[p].image);
    }
  }
  return photos;
}

void TrainStep::forward_backward(int part, bool mosaic) {
  timed(&StepTimes::augment, [&] { backend_.augment(augmentation(part, mosaic), executor_.stream()); });
  // A counter of its own for each part, so that no two draw the same dropout mask.
  timed(&StepTimes::forward, [&] {
    executor_.forward({.iteration = static_cast<std::uint32_t>(part),
                       .parts = static_cast<std::uint32_t>(config_.subdivisions),
                       .step = state_.as<StepState>()});
  });
  timed(&StepTimes::loss, [&] { backend_.yolo_loss(loss_of(part), executor_.stream()); });
  timed(&StepTimes::backward, [&] { executor_.backward(); });
}

std::optional<StepReport> TrainStep::collect() {
  if (pending_.empty()) return std::nullopt;
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  runtime_.wait(pending.done);
  StepReport report = read(pending);
  idle_.push_back(std::move(pending));
  return report;
}

StepReport TrainStep::read(const Pending& pending) const {
  StepReport report = pending.report;
  const std::byte* const metrics = pending.metrics.data();
  const float share = 1.0f / config_.subdivisions;
  for (int part = 0; part < config_.subdivisions; ++part) {
    LossParts parts;
    std::memcpy(&parts, metrics + layout_.parts + part * (1 + heads_.size()) * sizeof parts, sizeof parts);
    add_parts(report.loss, parts, config_.loss == LossMode::fixed ? 1.0f : share, share);
  }
  report.image_loss.resize(static_cast<std::size_t>(config_.batch));
  std::memcpy(report.image_loss.data(), metrics + layout_.image_loss, report.image_loss.size() * sizeof(float));
  double squares = 0;
  std::memcpy(&squares, metrics + layout_.norm, sizeof squares);
  report.gradient_norm = std::sqrt(squares);
  std::int32_t bad = -1;
  std::memcpy(&bad, metrics + layout_.bad, sizeof bad);
  if (bad >= 0) report.bad_node = optimizer_.layer_of(bad);
  return report;
}

}  // namespace rook
