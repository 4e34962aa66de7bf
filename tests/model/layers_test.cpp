// All layers together in one network: cpu against the reference node by node, gradients by finite differences in
// double.
#include "model/layers/layers.h"

#include "base/error.h"
#include "tests/model/tiny.h"

using namespace rook;
using namespace rook::test;

namespace {

// Activations that look at all channels of a pixel, around layers with and without what backward needs.
const std::string kNormalised =
    "conv filters=24 size=3 stride=2 pad=1 batch_normalize=1 activation=normalize_channels"
    " | conv filters=24 size=3 pad=1 activation=normalize_channels_softmax"
    " | conv filters=24 size=1 batch_normalize=1 activation=mish"
    " | shortcut from=-2 activation=normalize_channels_softmax_maxval"
    " | conv filters=24 size=1 activation=leaky"
    " | sam from=-2 activation=normalize_channels"
    " | activation activation=normalize_channels_softmax"
    " | conv filters=14 size=1 activation=linear" +
    kHead;
const std::string kWithDropout = " | dropout probability=.4 | conv filters=14 size=1 activation=linear" + kHead;

// A network that has been given a picture and gradients of its logits, the same for every backend and type.
struct Step {
  Step(const Network& network, const Params& given, const ExecutorOptions& options, int batch = 3)
      : params(copy_of(network, given)), executor(network.graph, *params, options) {
    executor.resize(batch, network.height, network.width);
    Random random(11);
    fill_uniform(executor.input(), random, -1, 1);
  }

  static std::unique_ptr<Params> copy_of(const Network& network, const Params& given) {
    auto params = std::make_unique<Params>(network.graph);
    std::copy(given.values().begin(), given.values().end(), params->values().begin());
    return params;
  }

  // The sum of logits weighted with random numbers: what is differentiated.
  double loss(const Network& network) {
    executor.forward({.iteration = 5});
    Random random(12);
    double sum = 0;
    for (const Head& head : network.heads)
      for (const double y : to_doubles(executor.output(head.source))) sum += y * random.uniform(-1, 1);
    return sum;
  }

  void backward(const Network& network) {
    std::fill(params->gradients().begin(), params->gradients().end(), 0.0f);
    Random random(12);
    for (const Head& head : network.heads) fill_uniform(executor.gradient(head.source), random, -1, 1);
    executor.backward();
  }

  std::vector<double> gradient(const Param& param) const {
    const auto all = params->gradients();
    return {all.begin() + param.offset, all.begin() + param.end()};
  }

  std::unique_ptr<Params> params;
  Executor executor;
};

ExecutorOptions options_of(const Backend& backend, DType type, bool training, bool keep_all = false) {
  return {.backend = &backend, .compute = type, .training = training, .keep_all = keep_all, .seed = 3};
}

// Central differences of the loss by some elements of every array of parameters.
void check_gradients(const Network& network, const Params& params, int samples) {
  Step step(network, params, options_of(ref_backend(), DType::f64, true));
  step.loss(network);
  step.backward(network);
  Random random(13);
  for (const Param& param : step.params->all()) {
    if (!param.spec.trainable()) continue;
    const auto gradient = step.gradient(param);
    const auto value = step.params->value(param);
    for (int i = 0; i < samples; ++i) {
      const auto at = static_cast<std::size_t>(random.below(param.spec.count()));
      const float before = value[at];
      const auto loss_at = [&](float v) {
        value[at] = v;
        step.executor.prepare();
        return step.loss(network);
      };
      const float high = before + 2e-4f, low = before - 2e-4f;
      const double difference = (loss_at(high) - loss_at(low)) / (static_cast<double>(high) - low);
      value[at] = before;
      const bool ok = std::abs(gradient[at] - difference) <= 1e-4 + 1e-4 * std::abs(difference);
      CHECK_MESSAGE(ok, param.name, "[", at, "]: gradient ", gradient[at], ", finite difference ", difference);
    }
  }
}

}  // namespace

TEST_CASE("layers: the shapes of the network with all of them") {
  const Model model = tiny_model(kAllLayers);
  const auto& nodes = model.network->graph.nodes();
  REQUIRE(nodes.size() == 34);
  CHECK(nodes[0].output == Shape{6, 8, 8});
  CHECK(nodes[2].output == Shape{6, 8, 4});
  CHECK(nodes[10].output == Shape{1, 1, 8});
  CHECK(nodes[13].output == Shape{6, 8, 8});
  CHECK(nodes[20].output == Shape{3, 4, 32});
  CHECK(nodes[23].output == Shape{6, 8, 16});
  CHECK(nodes[24].output == Shape{3, 4, 64});
  CHECK(nodes[26].output == Shape{3, 4, 14});
  CHECK(nodes[31].output == Shape{3, 8, 16});  // strides of their own
  CHECK(nodes[32].output == Shape{3, 8, 14});
}

TEST_CASE("layers: gradients of all parameters are those of finite differences") {
  const Model model = tiny_model(kAllLayers);
  check_gradients(*model.network, *model.params, kSanitized ? 1 : 4);
}

TEST_CASE("layers: gradients through activations that normalise channels are those of finite differences") {
  const Model model = tiny_model(kNormalised);
  check_gradients(*model.network, *model.params, kSanitized ? 1 : 4);
}

TEST_CASE("layers: gradients through dropout are those of finite differences") {
  const Model model = tiny_model("conv filters=6 size=3 pad=1 batch_normalize=1 activation=mish" + kWithDropout);
  check_gradients(*model.network, *model.params, 4);
}

TEST_CASE("layers: cpu agrees with the reference at every node") {
  std::string layers = kAllLayers + " | route layers=19" + kWithDropout;
  SUBCASE("all layers") {}
  SUBCASE("normalised channels") {
    layers = kNormalised;
  }
  const Model model = tiny_model(layers);
  const Network& network = *model.network;
  for (const bool training : {false, true}) {
    CAPTURE(training);
    Step truth(network, *model.params, options_of(ref_backend(), DType::f64, training, true));
    truth.loss(network);
    for (const Backend* backend : {&ref_backend(), &cpu_backend()}) {
      CAPTURE(backend->name);
      Step ours(network, *model.params, options_of(*backend, DType::f32, training, true));
      ours.loss(network);
      for (int i = 0; i < network.graph.size(); ++i) {
        CAPTURE(network.graph.nodes()[static_cast<std::size_t>(i)].name);
        CHECK(relative_difference(to_doubles(ours.executor.output(i)), to_doubles(truth.executor.output(i))) <= 1e-5);
      }
    }
  }
}

TEST_CASE("layers: cpu's gradients and running estimates agree with the reference in double") {
  std::string layers = kAllLayers + " | route layers=19" + kWithDropout;
  SUBCASE("all layers") {}
  SUBCASE("normalised channels") {
    layers = kNormalised;
  }
  const Model model = tiny_model(layers);
  const Network& network = *model.network;
  Step truth(network, *model.params, options_of(ref_backend(), DType::f64, true));
  truth.loss(network);
  truth.backward(network);
  Step ours(network, *model.params, options_of(cpu_backend(), DType::f32, true));
  ours.loss(network);
  ours.backward(network);
  for (const Param& param : ours.params->all()) {
    CAPTURE(param.name);
    if (param.spec.trainable()) {
      CHECK(relative_difference(ours.gradient(param), truth.gradient(param)) <= 1e-4);
      continue;
    }
    const auto a = ours.params->value(param), b = truth.params->value(param), before = model.params->value(param);
    CHECK(relative_difference({a.begin(), a.end()}, {b.begin(), b.end()}) <= 1e-5);
    CHECK_FALSE(std::equal(b.begin(), b.end(), before.begin()));
  }
}

TEST_CASE("layers: gradients in bf16 are as near as those of the reference in bf16") {
  const Model model = tiny_model(kAllLayers);
  const Network& network = *model.network;
  // The reference takes weights as they are, oneDNN rounds them: let there be no difference.
  for (float& v : model.params->values()) v = bf16_to_float(float_to_bf16(v));
  Step truth(network, *model.params, options_of(ref_backend(), DType::f64, true));
  Step plain(network, *model.params, options_of(ref_backend(), DType::bf16, true));
  Step ours(network, *model.params, options_of(cpu_backend(), DType::bf16, true));
  for (Step* step : {&truth, &plain, &ours}) {
    step->loss(network);
    step->backward(network);
  }
  const auto error_of = [&](const Step& step) {  // root mean square over that of the truth
    double error = 0, size = 0;
    for (const Param& param : step.params->all()) {
      if (!param.spec.trainable()) continue;
      const auto a = step.gradient(param), b = truth.gradient(param);
      for (std::size_t i = 0; i < a.size(); ++i) error += (a[i] - b[i]) * (a[i] - b[i]);
      for (const double v : b) size += v * v;
    }
    return std::sqrt(error / size);
  };
  MESSAGE("relative error of gradients in bf16: reference ", error_of(plain), ", cpu ", error_of(ours));
  CHECK(error_of(ours) <= 1.5 * error_of(plain));
  CHECK(error_of(plain) <= 0.1);
}

TEST_CASE("layers: a step is the same to the bit each time, and after other sizes") {
  const Model model = tiny_model(kAllLayers + " | route layers=19" + kWithDropout);
  const Network& network = *model.network;
  for (const DType type : {DType::f32, DType::bf16}) {
    Step step(network, *model.params, options_of(cpu_backend(), type, true));
    const auto run = [&](int batch, int h, int w) {
      step.executor.resize(batch, h, w);
      Random random(4);
      fill_uniform(step.executor.input(), random);
      step.loss(network);
      step.backward(network);
      return std::vector<float>(step.params->gradients().begin(), step.params->gradients().end());
    };
    const auto first = run(3, 12, 16);
    const void* place = step.executor.output(26).data;
    CHECK(run(3, 12, 16) == first);
    CHECK(step.executor.output(26).data == place);
    CHECK(run(1, 28, 20) != first);
    CHECK(run(3, 12, 16) == first);
  }
}

TEST_CASE("layers: dropout is another mask at another iteration, and nothing in inference") {
  const Model model = tiny_model("conv filters=6 size=3 pad=1 activation=linear" + kWithDropout);
  Step training(*model.network, *model.params, options_of(cpu_backend(), DType::f32, true, true));
  const auto at = [&](std::uint32_t iteration) {
    training.executor.forward({.iteration = static_cast<std::uint32_t>(iteration)});
    return to_doubles(training.executor.output(1));
  };
  const auto first = at(1);
  CHECK(first == at(1));
  CHECK(first != at(2));
  CHECK(static_cast<double>(std::count(first.begin(), first.end(), 0.0)) / static_cast<double>(first.size()) ==
        doctest::Approx(0.4).epsilon(0.1));
  Step inference(*model.network, *model.params, options_of(cpu_backend(), DType::f32, false, true));
  inference.executor.forward();
  CHECK(inference.executor.output(1).data == inference.executor.output(0).data);
}

TEST_CASE("layers: batch norm is folded into the convolution in inference, and where it is frozen") {
  const Model model = tiny_model(
      "conv filters=5 size=1 batch_normalize=1 activation=leaky | conv filters=14 size=1 activation=linear" + kHead);
  const Params& p = *model.params;
  for (const bool frozen : {false, true}) {
    CAPTURE(frozen);
    ExecutorOptions options = options_of(cpu_backend(), DType::f32, frozen, true);
    options.frozen = frozen ? 1 : 0;
    Step step(*model.network, p, options);
    step.executor.forward();
    const Tensor x = step.executor.input(), y = step.executor.output(0);
    const auto value = [&](ParamRole role, int i) {
      return static_cast<double>(p.value(*p.find(0, role))[static_cast<std::size_t>(i)]);
    };
    for (std::int64_t pixel = 0; pixel < y.pixels(); ++pixel)
      for (int k = 0; k < 5; ++k) {
        double z = 0;
        for (int c = 0; c < 3; ++c) z += x.as<float>()[pixel * 3 + c] * value(ParamRole::weights, 3 * k + c);
        z = (z - value(ParamRole::rolling_mean, k)) / std::sqrt(value(ParamRole::rolling_variance, k) + 1e-5) *
                value(ParamRole::scales, k) +
            value(ParamRole::bias, k);
        CHECK(y.as<float>()[pixel * 5 + k] == doctest::Approx(z > 0 ? z : 0.1 * z).epsilon(1e-5));
      }
    if (!frozen) continue;
    step.backward(*model.network);
    for (const Param& param : step.params->all()) {
      const std::span<const float> now = step.params->value(param), before = p.value(param);
      CHECK(std::equal(now.begin(), now.end(), before.begin()));  // running estimates too
      if (!param.spec.trainable()) continue;
      const auto gradient = step.gradient(param);
      const bool any = std::any_of(gradient.begin(), gradient.end(), [](double g) { return g != 0; });
      CHECK(any == (param.node == 1));
    }
  }
}

TEST_CASE("layers: logits are f32 whatever the type, and what the convolution before a head ends in") {
  for (const char* last : {"activation=linear", "activation=logistic", "activation=mish batch_normalize=1"})
    for (const bool training : {false, true})
      for (const DType type : {DType::f32, DType::bf16}) {
        const std::string layers =
            "conv filters=8 size=3 pad=1 activation=mish | conv filters=14 size=1 " + std::string(last) + kHead;
        CAPTURE(layers);
        CAPTURE(training);
        CAPTURE(type == DType::bf16);
        const Model model = tiny_model(layers);
        const Network& network = *model.network;
        Step truth(network, *model.params, options_of(ref_backend(), DType::f64, training));
        Step ours(network, *model.params, options_of(cpu_backend(), type, training));
        truth.loss(network);
        ours.loss(network);
        const double tolerance = type == DType::f32 ? 1e-5 : 0.02;
        CHECK(ours.executor.output(1).dtype == DType::f32);
        CHECK(relative_difference(to_doubles(ours.executor.output(1)), to_doubles(truth.executor.output(1))) <=
              tolerance);
        if (!training) continue;
        truth.backward(network);
        ours.backward(network);
        CHECK(ours.executor.gradient(1).dtype == type);
        const Param& weights = *ours.params->find(0, ParamRole::weights);
        CHECK(relative_difference(ours.gradient(weights), truth.gradient(weights)) <= 4 * tolerance);
      }
}
