#include "model/optimizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace rook {
namespace {

// What is updated and how: decay, what is frozen, and the cfg's learning_rate of a layer, a factor.
std::vector<ParamSegment> segments_of(const Model& model, const TrainConfig& config) {
  std::vector<ParamSegment> segments = model.params->segments(config.decay, config.freeze);
  for (ParamSegment& segment : segments)
    segment.lr_scale *= model.network->cfg.layer(segment.layer).number("learning_rate", 1);
  return segments;
}

std::size_t moment_bytes(const Params& params) {
  return arena_aligned(static_cast<std::size_t>(params.trainable()) * sizeof(float));
}

}  // namespace

Optimizer::Optimizer(const Model& model, const TrainConfig& config, Executor& executor, const Backend& backend)
    : model_(model),
      config_(config),
      executor_(executor),
      backend_(backend),
      runtime_(*backend.runtime),
      segments_(segments_of(model, config)),
      segments_memory_(runtime_),
      norm_workspace_(runtime_),
      moments_(runtime_),
      averages_(runtime_) {
  const std::span segments(segments_);
  segments_memory_.reserve(segments.size_bytes());
  runtime_.copy(segments_memory_.data(), segments.data(), segments.size_bytes(), {});
  runtime_.synchronize({});
  norm_workspace_.reserve(backend.gradient_norm_workspace({.segments = segments_}));
  moments_.reserve((config.optimizer == OptimizerKind::adamw ? 2 : 1) * moment_bytes(*model.params));
  if (config.ema > 0) averages_.reserve(model.params->values().size_bytes());
}

void Optimizer::update(StepState* step, double* squares, std::int32_t* bad) {
  const Stream stream = executor_.stream();
  const std::span<const ParamSegment> segments(segments_memory_.as<ParamSegment>(), segments_.size());
  backend_.gradient_norm({.gradient = executor_.gradients(),
                          .segments = segments,
                          .sum_of_squares = squares,
                          .bad_segment = bad,
                          .workspace = norm_workspace_.data()},
                         stream);
  backend_.limit_gradient({.step = step, .sum_of_squares = squares, .bad_segment = bad, .clip = config_.clip}, stream);
  if (config_.optimizer == OptimizerKind::adamw) {
    backend_.adamw_update({.weights = executor_.values(),
                           .gradient = executor_.gradients(),
                           .m = moment_at(0),
                           .v = moment_at(1),
                           .segments = segments,
                           .beta1 = config_.momentum,
                           .beta2 = config_.beta2,
                           .step = step},
                          stream);
  } else {
    backend_.sgd_update({.weights = executor_.values(),
                         .gradient = executor_.gradients(),
                         .velocity = moment_at(0),
                         .segments = segments,
                         .momentum = config_.momentum,
                         .step = step},
                        stream);
  }
}

void Optimizer::start_averages() {
  if (config_.ema <= 0 || averages_started_) return;
  runtime_.copy(averages_.data(), executor_.values(), model_.params->values().size_bytes(), executor_.stream());
  averages_started_ = true;
}

void Optimizer::average(const StepState* step) {
  if (config_.ema <= 0) return;
  // What is frozen is its own average: rounding must not touch it.
  const Params& params = *model_.params;
  for (const bool trainable : {true, false}) {
    std::int64_t begin = trainable ? 0 : params.trainable();
    for (const Param& param : params.all())
      if (param.node < config_.freeze && param.spec.trainable() == trainable) begin = std::max(begin, param.end());
    backend_.ema_update({.average = averages_.as<float>() + begin,
                         .value = executor_.values() + begin,
                         .count = (trainable ? params.trainable() : params.total()) - begin,
                         .step = step},
                        executor_.stream());
  }
}

float* Optimizer::averaged_values() {
  return averages_started_ ? averages_.as<float>() : executor_.values();
}

float* Optimizer::moment_at(int which) const {
  return reinterpret_cast<float*>(moments_.data() + static_cast<std::size_t>(which) * moment_bytes(*model_.params));
}

std::vector<float> Optimizer::to_host(const float* from, std::size_t count) const {
  std::vector<float> values(count);
  runtime_.copy(values.data(), from, count * sizeof(float), executor_.stream());
  runtime_.synchronize(executor_.stream());
  return values;
}

void Optimizer::to_device(float* to, const std::vector<float>& values) {
  runtime_.copy(to, values.data(), values.size() * sizeof(float), executor_.stream());
  runtime_.synchronize(executor_.stream());
}

std::vector<float> Optimizer::moment(int which) const {
  if (which == 1 && config_.optimizer != OptimizerKind::adamw) return {};
  return to_host(moment_at(which), static_cast<std::size_t>(model_.params->trainable()));
}

void Optimizer::set_moment(int which, const std::vector<float>& values) {
  const bool second = config_.optimizer == OptimizerKind::adamw;
  if ((which == 1 && !second) || values.size() != static_cast<std::size_t>(model_.params->trainable()))
    throw Error(fmt::format("moment {} of the checkpoint does not fit this optimizer", which + 1));
  to_device(moment_at(which), values);
}

std::vector<float> Optimizer::averages() const {
  if (!averages_started_) return {};
  return to_host(averages_.as<float>(), model_.params->values().size());
}

void Optimizer::set_averages(const std::vector<float>& values) {
  averages_started_ = !values.empty() && config_.ema > 0;
  if (!averages_started_) return;
  if (values.size() != model_.params->values().size())
    throw Error("the averages (EMA) of the checkpoint belong to another network");
  to_device(averages_.as<float>(), values);
}

}  // namespace rook
