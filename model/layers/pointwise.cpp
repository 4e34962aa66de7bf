// Layers of one input that keep its shape: [activation], [batchnorm], [dropout], [softmax], [empty].
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "engine/arena.h"
#include "model/layers/layers.h"

namespace rook {
namespace {

class ActivationLayer final : public Op {
 public:
  explicit ActivationLayer(Activation activation) : activation_(activation) {}
  std::string_view kind() const override { return "activation"; }
  Shape infer(std::span<const Shape> inputs) const override { return inputs[0]; }
  OpNeeds needs(const OpProblem&) const override { return {.inputs_in_backward = true}; }
  void forward(const OpRun& run) const override {
    run.backend->activation_forward({.x = run.inputs[0], .y = run.output, .activation = activation_}, run.stream);
  }
  void backward(const OpRun& run) const override {
    run.backend->activation_backward({.x = run.inputs[0],
                                      .dy = run.doutput,
                                      .dx = run.dinputs[0].tensor,
                                      .activation = activation_,
                                      .mode = run.dinputs[0].mode},
                                     run.stream);
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }

 private:
  Activation activation_;
};

class BatchNormLayer final : public Op {
 public:
  BatchNormLayer(int channels, float eps) : channels_(channels), eps_(eps) {}
  std::string_view kind() const override { return "batchnorm"; }
  Shape infer(std::span<const Shape> inputs) const override { return inputs[0]; }
  std::vector<ParamSpec> params() const override {
    return {{.role = ParamRole::bias, .shape = {channels_}},
            {.role = ParamRole::scales, .shape = {channels_}},
            {.role = ParamRole::rolling_mean, .shape = {channels_}},
            {.role = ParamRole::rolling_variance, .shape = {channels_}}};
  }
  OpNeeds needs(const OpProblem& problem) const override {
    if (!problem.training) return {.inputs_in_backward = true};
    const Backend& backend = problem.backend();
    return {.saved = 2 * sizeof(float) * static_cast<std::size_t>(channels_),
            .workspace = std::max(backend.batchnorm_forward_workspace({.z = problem.inputs[0], .y = problem.output}),
                                  backend.batchnorm_backward_workspace(
                                      {.z = problem.inputs[0], .dy = problem.output, .dz = problem.output})),
            .inputs_in_backward = true};
  }
  void forward(const OpRun& run) const override {
    if (!run.training) {
      run.backend->batchnorm_inference({.z = run.inputs[0],
                                        .y = run.output,
                                        .gamma = run.params[1],
                                        .beta = run.params[0],
                                        .running_mean = run.params[2],
                                        .running_var = run.params[3],
                                        .eps = eps_},
                                       run.stream);
      return;
    }
    run.backend->batchnorm_forward({.z = run.inputs[0],
                                    .y = run.output,
                                    .gamma = run.params[1],
                                    .beta = run.params[0],
                                    .mean = mean(run),
                                    .inv_std = mean(run) + channels_,
                                    .running_mean = run.params[2],
                                    .running_var = run.params[3],
                                    .momentum = run.bn_momentum,
                                    .eps = eps_,
                                    .workspace = run.workspace},
                                   run.stream);
  }
  void backward(const OpRun& run) const override {
    run.backend->batchnorm_backward({.z = run.inputs[0],
                                     .dy = run.doutput,
                                     .dz = run.doutput,
                                     .gamma = run.params[1],
                                     .beta = run.params[0],
                                     .mean = mean(run),
                                     .inv_std = mean(run) + channels_,
                                     .dgamma = run.grads[1],
                                     .dbeta = run.grads[0],
                                     .workspace = run.workspace},
                                    run.stream);
    if (run.dinputs[0].mode != Grad::none)
      run.backend->copy_channels({.src = run.doutput, .dst = run.dinputs[0].tensor, .mode = run.dinputs[0].mode},
                                 run.stream);
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }

 private:
  static float* mean(const OpRun& run) { return reinterpret_cast<float*>(run.saved); }
  int channels_;
  float eps_;
};

class DropoutLayer final : public Op {
 public:
  explicit DropoutLayer(float probability) : probability_(probability) {}
  std::string_view kind() const override { return "dropout"; }
  Shape infer(std::span<const Shape> inputs) const override { return inputs[0]; }
  bool identity(bool training) const override { return !training || probability_ == 0; }
  void forward(const OpRun& run) const override {
    if (run.training) return apply(run, run.inputs[0], run.output, Grad::overwrite);
    run.backend->copy_channels({.src = run.inputs[0], .dst = run.output}, run.stream);
  }
  void backward(const OpRun& run) const override {
    apply(run, run.doutput, run.dinputs[0].tensor, run.dinputs[0].mode);
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }

 private:
  void apply(const OpRun& run, const Tensor& x, const Tensor& y, Grad mode) const {
    run.backend->dropout({.x = x,
                          .y = y,
                          .probability = probability_,
                          .seed = run.seed,
                          .iteration = run.counter.iteration,
                          .layer = run.node,
                          .mode = mode,
                          .step = run.counter.step,
                          .parts = run.counter.parts},
                         run.stream);
  }
  float probability_;
};

class Softmax final : public Op {
 public:
  Softmax(int groups, float temperature) : groups_(groups), temperature_(temperature) {}
  std::string_view kind() const override { return "softmax"; }
  Shape infer(std::span<const Shape> inputs) const override {
    if (groups_ < 1 || inputs[0].c % groups_ != 0)
      throw Error(fmt::format("groups={} does not divide {} channels", groups_, inputs[0].c));
    return inputs[0];
  }
  OpNeeds needs(const OpProblem&) const override { return {.output_in_backward = true}; }
  void forward(const OpRun& run) const override {
    run.backend->softmax_forward({.x = run.inputs[0], .y = run.output, .groups = groups_, .temperature = temperature_},
                                 run.stream);
  }
  void backward(const OpRun& run) const override {
    run.backend->softmax_backward({.y = run.output,
                                   .dy = run.doutput,
                                   .dx = run.dinputs[0].tensor,
                                   .groups = groups_,
                                   .temperature = temperature_,
                                   .mode = run.dinputs[0].mode},
                                  run.stream);
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }

 private:
  int groups_;
  float temperature_;
};

class Empty final : public Op {
 public:
  std::string_view kind() const override { return "empty"; }
  Shape infer(std::span<const Shape> inputs) const override { return inputs[0]; }
  bool identity(bool) const override { return true; }
  void forward(const OpRun&) const override {}
  void backward(const OpRun&) const override {}
  double flops(std::span<const Shape>, Shape) const override { return 0; }
};

}  // namespace

std::unique_ptr<Op> make_activation(Activation activation) {
  return std::make_unique<ActivationLayer>(activation);
}
std::unique_ptr<Op> make_batchnorm(int channels, float eps) {
  return std::make_unique<BatchNormLayer>(channels, eps);
}
std::unique_ptr<Op> make_dropout(float probability) {
  return std::make_unique<DropoutLayer>(probability);
}
std::unique_ptr<Op> make_softmax(int groups, float temperature) {
  return std::make_unique<Softmax>(groups, temperature);
}
std::unique_ptr<Op> make_empty() {
  return std::make_unique<Empty>();
}

}  // namespace rook
