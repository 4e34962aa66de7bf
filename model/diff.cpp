#include "model/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "engine/readback.h"
#include "kernels/float16.h"
#include "kernels/philox.h"

namespace rook {
namespace {

constexpr int kTruths = 8;

// A network run on one side.
class Side {
 public:
  Side(Model& model, const DiffSide& side, const DiffOptions& options)
      : model_(model),
        side_(side),
        executor_(model.network->graph, *model.params,
                  {.backend = side.backend,
                   .compute = side.compute,
                   .training = options.train,
                   .keep_all = true,
                   .conv = side.conv,
                   .seed = options.seed}) {
    executor_.resize(1, options.height, options.width);
  }

  void forward(std::span<const float> pixels) {
    const Tensor input = executor_.input();
    std::vector<std::byte> bytes(pixels.size() * size_of(input.dtype));
    Tensor staged = make_tensor(bytes.data(), input.dtype, 1, input.h, input.w, input.c);
    const Tensor from =
        make_tensor(const_cast<float*>(pixels.data()), DType::f32, 1, input.h, input.w, input.c);  // only read
    if (input.dtype == DType::f16)
      for (std::size_t i = 0; i < pixels.size(); ++i) staged.as<std::uint16_t>()[i] = float_to_f16(pixels[i]);
    else
      cpu::copy_channels({.src = from, .dst = staged});
    runtime().copy(input.data, bytes.data(), bytes.size(), executor_.stream());
    executor_.prepare();
    executor_.forward();
    runtime().synchronize(executor_.stream());
  }

  void backward(const DiffOptions& options) {
    Arena truths(runtime()), results(runtime()), workspace(runtime());
    const auto boxes = random_boxes(options);
    const std::int32_t count = kTruths;
    const std::size_t at = arena_aligned(sizeof count);
    truths.reserve(at + sizeof boxes);
    runtime().copy(truths.data(), &count, sizeof count, executor_.stream());
    runtime().copy(truths.data() + at, boxes.data(), sizeof boxes, executor_.stream());
    std::vector<LossHead> heads;
    for (const Head& head : model_.network->heads) {
      heads.push_back({.head = head.spec,
                       .params = head.loss,
                       .logits = executor_.output(head.source),
                       .dlogits = executor_.gradient(head.source)});
      heads.back().params.class_multipliers = nullptr;  // the host's, and of no interest here
    }
    results.reserve((1 + heads.size()) * sizeof(LossParts));
    YoloLoss loss{.heads = heads,
                  .truths = reinterpret_cast<const Truth*>(truths.data() + at),
                  .truth_counts = truths.as<std::int32_t>(),
                  .max_truths = kTruths,
                  .net_w = options.width,
                  .net_h = options.height,
                  .parts = results.as<LossParts>()};
    workspace.reserve(side_.backend->yolo_loss_workspace(loss));
    loss.workspace = workspace.data();
    side_.backend->yolo_loss(loss, executor_.stream());
    executor_.backward();
    runtime().synchronize(executor_.stream());
  }

  Executor& executor() { return executor_; }

 private:
  const DeviceRuntime& runtime() const { return executor_.runtime(); }

  std::array<Truth, kTruths> random_boxes(const DiffOptions& options) const {
    std::array<Truth, kTruths> boxes{};
    const int classes = std::max(1, model_.network->heads.front().spec.classes);
    for (int i = 0; i < kTruths; ++i) {
      const Uniform4 u = philox_uniform(philox(philox_key(options.seed), {.slot = static_cast<std::uint32_t>(i)}));
      boxes[static_cast<std::size_t>(i)] = {0.1f + 0.8f * u.x, 0.1f + 0.8f * u.y, 0.05f + 0.3f * u.z,
                                            0.05f + 0.3f * u.w, i % classes};
    }
    return boxes;
  }

  Model& model_;
  DiffSide side_;
  Executor executor_;
};

template <class Where>
Difference compare(std::string name, std::span<const float> a, std::span<const float> b, Where where) {
  Difference result{.name = std::move(name), .elements = static_cast<std::int64_t>(a.size())};
  for (std::size_t i = 0; i < a.size(); ++i) {
    result.largest = std::max(result.largest, std::abs(double{a[i]}));
    double difference = std::abs(double{a[i]} - b[i]);
    if (std::isnan(difference)) difference = std::numeric_limits<double>::infinity();
    if (difference <= result.worst && !(i == 0)) continue;
    result.worst = difference;
    result.where = where(static_cast<std::int64_t>(i));
    result.a = a[i];
    result.b = b[i];
  }
  return result;
}

void set_scales(std::span<Difference> differences) {
  constexpr double kLeast = 1e-3;
  double largest = 0;
  for (const Difference& d : differences) largest = std::max(largest, d.largest);
  for (Difference& d : differences) d.scale = std::max(d.largest, kLeast * largest);
}

}  // namespace

std::vector<Difference> compare_devices(Model& model, std::span<const float> pixels, const DiffOptions& options) {
  const std::vector<float> saved(model.params->values().begin(), model.params->values().end());
  if (options.train && model.network->heads.empty()) throw Error("--train: the network has no head to take a loss of");
  Side a(model, options.a, options), b(model, options.b, options);
  std::vector<Difference> result;
  a.forward(pixels);
  b.forward(pixels);
  const Graph& graph = model.network->graph;
  for (int node = 0; node < graph.size(); ++node) {
    if (!graph.nodes()[static_cast<std::size_t>(node)].op) continue;
    const Tensor shape = a.executor().output(node);
    const std::string& name = graph.nodes()[static_cast<std::size_t>(node)].name;  // "12 convolutional (file:line)"
    result.push_back(compare(name.substr(0, name.find(" (")), floats_of(a.executor().output(node), a.executor()),
                             floats_of(b.executor().output(node), b.executor()), [&](std::int64_t i) {
                               const std::int64_t pixel = i / shape.c;
                               return fmt::format("[h {}, w {}, c {}]", pixel / shape.w, pixel % shape.w, i % shape.c);
                             }));
  }
  const std::size_t outputs = result.size();
  if (options.train) {
    const std::size_t count = static_cast<std::size_t>(model.params->trainable());
    // One side after the other: on the CPU both have the gradients of the model.
    const auto gradients = [&](Side& side) {
      Executor& executor = side.executor();
      executor.runtime().clear(executor.gradients(), count * sizeof(float), executor.stream());
      side.backward(options);
      std::vector<float> values(count);
      executor.runtime().copy(values.data(), executor.gradients(), count * sizeof(float), executor.stream());
      executor.runtime().synchronize(executor.stream());
      return values;
    };
    const std::vector<float> ga = gradients(a), gb = gradients(b);
    for (const Param& param : model.params->all()) {
      if (!param.spec.trainable()) continue;
      const auto first = static_cast<std::size_t>(param.offset), size = static_cast<std::size_t>(param.spec.count());
      result.push_back(compare("gradient of " + param.name, std::span(ga).subspan(first, size),
                               std::span(gb).subspan(first, size),
                               [](std::int64_t i) { return fmt::format("[{}]", i); }));
    }
  }
  set_scales(std::span(result).first(outputs));
  set_scales(std::span(result).subspan(outputs));
  std::copy(saved.begin(), saved.end(), model.params->values().begin());
  return result;
}

}  // namespace rook
