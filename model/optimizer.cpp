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
      all_{.memory = Arena(runtime_)},
      rest_{.memory = Arena(runtime_)},
      workspace_(runtime_),
      moments_(runtime_),
      averages_(runtime_) {
  upload(segments_, all_);
  std::size_t workspace = backend.gradient_norm_workspace({.segments = segments_});
  if (config.optimizer == OptimizerKind::muon) {
    find_matrices();
    for (const Matrix& matrix : matrices_)
      workspace = std::max(workspace, backend.muon_update_workspace({.rows = matrix.rows, .cols = matrix.cols}));
  }
  workspace_.reserve(workspace);
  moments_.reserve(static_cast<std::size_t>(moments()) * moment_bytes(*model.params));
  if (config.ema > 0) averages_.reserve(model.params->values().size_bytes());
}

void Optimizer::upload(const std::vector<ParamSegment>& from, DeviceSegments& to) {
  const std::span segments(from);
  to.memory.reserve(segments.size_bytes());
  runtime_.copy(to.memory.data(), segments.data(), segments.size_bytes(), {});
  runtime_.synchronize({});
  to.count = from.size();
}

void Optimizer::find_matrices() {
  const auto is_matrix = [&](const ParamSegment& segment) {
    const auto& all = model_.params->all();
    const auto param = std::find_if(all.begin(), all.end(),
                                    [&](const Param& p) { return p.offset == segment.begin && p.spec.matrix; });
    if (param == all.end() || segment.lr_scale == 0) return false;
    const std::int64_t rows = param->spec.shape[0];
    matrices_.push_back({.offset = segment.begin,
                         .rows = static_cast<int>(rows),
                         .cols = static_cast<int>(param->spec.count() / rows),
                         .lr_scale = config_.turn * segment.lr_scale});
    return true;
  };
  std::vector<ParamSegment> rest;
  for (const ParamSegment& segment : segments_)
    if (!is_matrix(segment)) rest.push_back(segment);
  upload(rest, rest_);
}

MuonUpdate Optimizer::muon_of(const Matrix& matrix) const {
  return {.weights = executor_.values() + matrix.offset,
          .gradient = executor_.gradients() + matrix.offset,
          .velocity = moment_at(0) + matrix.offset,
          .rows = matrix.rows,
          .cols = matrix.cols,
          .lr_scale = matrix.lr_scale,
          .momentum = config_.momentum,
          .workspace = workspace_.data()};
}

void Optimizer::update(StepState* step, double* squares, std::int32_t* bad) {
  const Stream stream = executor_.stream();
  backend_.gradient_norm({.gradient = executor_.gradients(),
                          .segments = all_.list(),
                          .sum_of_squares = squares,
                          .bad_segment = bad,
                          .workspace = workspace_.data()},
                         stream);
  backend_.limit_gradient({.step = step, .sum_of_squares = squares, .bad_segment = bad, .clip = config_.clip}, stream);
  for (const Matrix& matrix : matrices_) {
    MuonUpdate args = muon_of(matrix);
    args.step = step;
    backend_.muon_update(args, stream);
  }
  if (config_.optimizer != OptimizerKind::sgd) {
    backend_.adamw_update({.weights = executor_.values(),
                           .gradient = executor_.gradients(),
                           .m = moment_at(0),
                           .v = moment_at(1),
                           .segments = (matrices_.empty() ? all_ : rest_).list(),
                           .beta1 = config_.momentum,
                           .beta2 = config_.beta2,
                           .step = step},
                          stream);
  } else {
    backend_.sgd_update({.weights = executor_.values(),
                         .gradient = executor_.gradients(),
                         .velocity = moment_at(0),
                         .segments = all_.list(),
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
  if (which >= moments()) return {};
  return to_host(moment_at(which), static_cast<std::size_t>(model_.params->trainable()));
}

void Optimizer::set_moment(int which, const std::vector<float>& values) {
  if (which >= moments() || values.size() != static_cast<std::size_t>(model_.params->trainable()))
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
