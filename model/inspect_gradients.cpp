#include "model/inspect_gradients.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/train_step.h"

namespace rook {
namespace {

// darknet's region loss pulls boxes towards the anchors in a network that has seen fewer photos than this.
constexpr std::int64_t kSeen = std::int64_t{1} << 24;

double sum_of_squares(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * v;
  return sum;
}

// Truths and loss on the device.
class Loss {
 public:
  Loss(const Model& model, const TrainConfig& config, const Backend& backend, Executor& executor,
       std::span<const Truth> truths)
      : backend_(backend), executor_(executor), memory_(executor.runtime()), workspace_(executor.runtime()) {
    const std::int32_t count = std::min(static_cast<std::int32_t>(truths.size()), config.max_truths);
    Places places;
    const std::size_t count_at = places.add(sizeof count), truths_at = places.add(truths.size_bytes()),
                      parts_at = places.add((1 + model.network->heads.size()) * sizeof(LossParts));
    std::vector<std::size_t> multipliers;
    for (const Head& head : model.network->heads)
      multipliers.push_back(places.add(head.class_multipliers.size() * sizeof(float)));
    memory_.reserve(places.bytes());
    put(count_at, &count, sizeof count);
    put(truths_at, truths.data(), truths.size_bytes());
    for (std::size_t h = 0; h < multipliers.size(); ++h) {
      const Head& head = model.network->heads[h];
      heads_.push_back({.head = head.spec,
                        .params = loss_params(head, config),
                        .logits = executor.output(head.source),
                        .dlogits = executor.gradient(head.source)});
      if (!head.loss.class_multipliers) continue;
      put(multipliers[h], head.class_multipliers.data(), head.class_multipliers.size() * sizeof(float));
      heads_.back().params.class_multipliers = reinterpret_cast<const float*>(memory_.data() + multipliers[h]);
    }
    args_ = {.mode = config.loss,
             .heads = heads_,
             .truths = reinterpret_cast<const Truth*>(memory_.data() + truths_at),
             .truth_counts = reinterpret_cast<const std::int32_t*>(memory_.data() + count_at),
             .max_truths = std::max(count, 1),
             .net_w = executor.input().w,
             .net_h = executor.input().h,
             .seen = kSeen,
             .parts = reinterpret_cast<LossParts*>(memory_.data() + parts_at)};
    workspace_.reserve(backend.yolo_loss_workspace(args_));
    args_.workspace = workspace_.data();
  }

  LossParts run() {
    backend_.yolo_loss(args_, executor_.stream());
    LossParts parts{};
    executor_.runtime().copy(&parts, args_.parts, sizeof parts, executor_.stream());
    executor_.runtime().synchronize(executor_.stream());
    return parts;
  }

 private:
  void put(std::size_t at, const void* from, std::size_t bytes) {
    if (bytes) executor_.runtime().copy(memory_.data() + at, from, bytes, executor_.stream());
  }

  const Backend& backend_;
  Executor& executor_;
  Arena memory_, workspace_;
  std::vector<LossHead> heads_;
  YoloLoss args_;
};

void add(StepGradients& step, const Network& network, const Params& params, std::span<const float> gradients) {
  for (const Param& param : params.all()) {
    if (!param.spec.trainable() || param.node < step.frozen) continue;
    const std::span<const float> gradient =
        gradients.subspan(static_cast<std::size_t>(param.offset), static_cast<std::size_t>(param.spec.count()));
    const double squares = sum_of_squares(gradient);
    if (!std::isfinite(squares))
      throw Error(fmt::format("layer {}: the gradient of its {} is not finite",
                              network.graph.nodes()[static_cast<std::size_t>(param.node)].name,
                              name_of(param.spec.role)));
    step.norm += squares;
    if (step.layers.empty() || step.layers.back().node != param.node) step.layers.push_back({.node = param.node});
    LayerGradient& layer = step.layers.back();
    if (param.spec.role == ParamRole::weights) {
      layer.gradient = std::sqrt(squares);
      layer.weight = std::sqrt(sum_of_squares(params.value(param)));
    } else {
      layer.others += squares;
    }
  }
  for (LayerGradient& layer : step.layers) layer.others = std::sqrt(layer.others);
  step.norm = std::sqrt(step.norm);
}

}  // namespace

StepGradients step_gradients(Model& model, const TrainConfig& config, const Backend& backend, const ConvChoice& conv,
                             std::span<const float> photo, std::span<const Truth> truths, int width, int height) {
  Executor executor(model.network->graph, *model.params,
                    {.backend = &backend,
                     .compute = DType::f32,
                     .training = true,
                     .frozen = config.freeze,
                     .conv = conv,
                     .bn_momentum = 0,
                     .seed = config.seed});
  executor.resize(1, height, width);
  const DeviceRuntime& runtime = executor.runtime();
  const std::size_t trainable = static_cast<std::size_t>(model.params->trainable());
  runtime.copy(executor.input().data, photo.data(), photo.size_bytes(), executor.stream());
  runtime.clear(executor.gradients(), trainable * sizeof(float), executor.stream());
  executor.forward();
  StepGradients step{.loss = {}, .frozen = config.freeze, .layers = {}};
  step.loss = Loss(model, config, backend, executor, truths).run();
  executor.backward();
  std::vector<float> gradients(trainable);
  runtime.copy(gradients.data(), executor.gradients(), trainable * sizeof(float), executor.stream());
  runtime.synchronize(executor.stream());
  add(step, *model.network, *model.params, gradients);
  return step;
}

}  // namespace rook
