// The executor on graphs of toy ops: what it computes against plain recursion in double, and what it does with memory.
#include "engine/executor.h"

#include "tests/engine/toy_ops.h"

using namespace rook;
using namespace rook::test;

namespace {

using Values = std::vector<double>;

void fill(const Tensor& t, const Values& values) {
  for (std::size_t i = 0; i < values.size(); ++i) t.as<float>()[i] = static_cast<float>(values[i]);
}

Values random_values(Random& random, std::int64_t count) {
  Values values(static_cast<std::size_t>(count));
  for (double& v : values) v = static_cast<float>(random.uniform(-1, 1));
  return values;
}

bool close(const Tensor& actual, const Values& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (!(std::abs(actual.as<float>()[i] - expected[i]) <= 1e-5 * (1 + std::abs(expected[i])))) return false;
  return true;
}

// The network in double, without any planning: all values and all gradients are kept.
struct Recursion {
  Recursion(const Graph& graph, const Params& params, Values picture)
      : graph_(graph), params_(params), picture_(std::move(picture)) {
    for (int i = 0; i < graph.size(); ++i) forward(i);
    gradients.assign(values.size(), Values(picture_.size()));
  }

  void backward(int frozen) {
    for (int i = graph_.size() - 1; i >= frozen; --i) backward_of(i);
  }

  std::vector<Values> values, gradients;  // of each node
  std::map<int, Values> dweights;         // of each Mix

 private:
  const Values& value(int node) const {
    return node == kNetworkInput ? picture_ : values[static_cast<std::size_t>(node)];
  }
  std::span<const float> weights(int node) const { return params_.value(*params_.find(node, ParamRole::weights)); }

  void forward(int i) {
    const Node& node = graph_.nodes()[static_cast<std::size_t>(i)];
    Values y = value(node.inputs[0]);
    if (node.op && node.op->kind() == "squash")
      for (double& v : y) v = 1 / (1 + std::exp(-v));
    if (node.op && node.op->kind() == "mix")
      for (std::size_t e = 0; e < y.size(); ++e) {
        y[e] = 0;
        for (std::size_t j = 0; j < node.inputs.size(); ++j) y[e] += weights(i)[j] * value(node.inputs[j])[e];
      }
    values.push_back(std::move(y));
  }

  void backward_of(int i) {
    const Node& node = graph_.nodes()[static_cast<std::size_t>(i)];
    const Values& dy = gradients[static_cast<std::size_t>(i)];
    const bool mix = node.op && node.op->kind() == "mix", squash = node.op && node.op->kind() == "squash";
    if (mix) dweights[i].assign(node.inputs.size(), 0.0);
    for (std::size_t j = 0; j < node.inputs.size(); ++j)
      for (std::size_t e = 0; e < dy.size(); ++e) {
        const double y = values[static_cast<std::size_t>(i)][e];
        if (mix) dweights[i][j] += dy[e] * value(node.inputs[j])[e];
        if (node.inputs[j] == kNetworkInput) continue;
        gradients[static_cast<std::size_t>(node.inputs[j])][e] += dy[e] * (mix      ? weights(i)[j]
                                                                           : squash ? y * (1 - y)
                                                                                    : 1.0);
      }
  }

  const Graph& graph_;
  const Params& params_;
  Values picture_;
};

void randomise(Params& params, Random& random) {
  for (float& v : params.values()) v = static_cast<float>(random.uniform(-1, 1));
}

// One step of training with random gradients of the logits; the truth is given them too.
void backward(Executor& executor, Recursion& truth, Random& random) {
  for (const int head : executor.graph().heads()) {
    const int source = executor.graph().head_source(head);
    const Values dy = random_values(random, executor.output(source).elements());
    if (executor.has_gradient(source)) fill(executor.gradient(source), dy);
    truth.gradients[static_cast<std::size_t>(head)] = dy;
  }
  executor.backward();
}

Graph chain(int length) {
  Graph graph({2, 3, 2});
  for (int i = 0; i < length; ++i) graph.add(std::make_unique<Mix>(1), {i - 1}, "mix");
  graph.add_head(length - 1, "head");
  return graph;
}

}  // namespace

TEST_CASE("executor: inference computes what plain recursion computes") {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    const Graph graph = random_graph(random, 2 + static_cast<int>(random.below(25)));
    Params params(graph);
    randomise(params, random);
    const bool keep_all = random.below(2) == 0;
    Executor executor(graph, params, {.backend = &ref_backend(), .keep_all = keep_all});
    executor.resize(2, 2, 3);
    const Values picture = random_values(random, executor.input().elements());
    fill(executor.input(), picture);
    executor.forward();
    const Recursion truth(graph, params, picture);
    for (const int head : graph.heads())
      CHECK(close(executor.output(head), truth.values[static_cast<std::size_t>(head)]));
    for (int i = 0; keep_all && i < graph.size(); ++i)
      CHECK(close(executor.output(i), truth.values[static_cast<std::size_t>(i)]));
    CHECK_FALSE(executor.has_gradient(0));
  }
}

TEST_CASE("executor: training computes the gradients that plain recursion computes, frozen or not") {
  Random random(2);
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    const Graph graph = random_graph(random, 2 + static_cast<int>(random.below(25)));
    Params params(graph);
    randomise(params, random);
    const int frozen = round % 3 == 0 ? static_cast<int>(random.below(graph.size())) : 0;
    Executor executor(graph, params,
                      {.backend = &ref_backend(), .training = true, .frozen = frozen, .keep_all = round % 2 == 0});
    executor.resize(2, 2, 3);
    for (float& g : params.gradients()) g = 0.5f;
    const Values picture = random_values(random, executor.input().elements());
    fill(executor.input(), picture);
    executor.forward();
    Recursion truth(graph, params, picture);
    for (const int head : graph.heads())
      CHECK(close(executor.output(head), truth.values[static_cast<std::size_t>(head)]));
    backward(executor, truth, random);
    truth.backward(frozen);
    for (const Param& param : params.all()) {
      if (!param.spec.trainable()) continue;
      for (std::int64_t j = 0; j < param.spec.count(); ++j) {  // added to what was there
        const double expected =
            0.5 + (param.node < frozen ? 0.0 : truth.dweights[param.node][static_cast<std::size_t>(j)]);
        CHECK(params.gradients()[static_cast<std::size_t>(param.offset + j)] ==
              doctest::Approx(expected).epsilon(2e-5));
      }
    }
  }
}

TEST_CASE("executor: after the first step nothing is allocated, and going back to a size gives the same bits") {
  Random random(3);
  const Graph graph = random_graph(random, 20);
  Params params(graph);
  randomise(params, random);
  Executor executor(graph, params, {.backend = &ref_backend(), .training = true});
  const int source = graph.head_source(graph.heads().back());
  const auto step = [&](int batch, int h, int w) {
    executor.resize(batch, h, w);
    std::fill(params.gradients().begin(), params.gradients().end(), 0.0f);
    Random same(7);
    fill(executor.input(), random_values(same, executor.input().elements()));
    executor.forward();
    Recursion unused(graph, params, random_values(same, executor.input().elements()));
    backward(executor, unused, same);
    std::vector<float> result(params.gradients().begin(), params.gradients().end());
    const Tensor y = executor.output(source);
    result.insert(result.end(), y.as<float>(), y.as<float>() + y.elements());
    return result;
  };
  const auto places = [&] {
    return std::vector<void*>{executor.input().data, executor.output(source).data, executor.gradient(source).data,
                              params.gradients().data()};
  };
  const auto small = step(2, 2, 3);
  const auto large = step(3, 5, 4);
  const auto at = places();
  for (int i = 0; i < 3; ++i) {
    CHECK(step(3, 5, 4) == large);
    CHECK(places() == at);
  }
  CHECK(step(2, 2, 3) == small);
  CHECK(step(3, 5, 4) == large);
  CHECK(places() == at);
}

TEST_CASE("executor: parameters are read when prepare is called, from the arena that is named") {
  const Graph graph = chain(2);
  Params params(graph);
  for (float& v : params.values()) v = 2;
  Executor executor(graph, params, {.backend = &ref_backend()});
  executor.resize(1, 1, 1);
  const auto result = [&] {
    executor.input().as<float>()[0] = 1;
    executor.forward();
    return executor.output(1).as<float>()[0];
  };
  CHECK(result() == 4);
  for (float& v : params.values()) v = 3;
  CHECK(result() == 4);  // not told yet
  executor.prepare();
  CHECK(result() == 9);
  std::vector<float> other(params.values().size(), 5);
  executor.use_values(other.data());
  executor.prepare();
  CHECK(result() == 25);
  executor.use_values(nullptr);
  executor.prepare();
  CHECK(result() == 9);
}

TEST_CASE("executor: times of nodes are taken when asked for") {
  const Graph graph = chain(3);
  Params params(graph);
  for (const bool profile : {false, true}) {
    Executor executor(graph, params, {.backend = &ref_backend(), .training = true, .profile = profile});
    executor.resize(1, 2, 3);
    executor.forward();
    fill(executor.gradient(2), Values(12, 1));
    executor.backward();
    for (int i = 0; i < 3; ++i) {
      const NodeTime& time = executor.times()[static_cast<std::size_t>(i)];
      CHECK((time.forward_s > 0) == profile);
      CHECK((time.backward_s > 0) == profile);
    }
    CHECK(executor.times()[3].forward_s == 0);  // the head
  }
}

TEST_CASE("executor: errors say what is wrong") {
  const Graph graph = chain(2);
  Params params(graph);
  Executor executor(graph, params, {.backend = &ref_backend(), .training = true, .frozen = 1});
  executor.resize(1, 2, 3);
  CHECK_THROWS_WITH_AS(executor.gradient(0), doctest::Contains("layer mix: has no gradient"), Error);
  CHECK_NOTHROW(executor.gradient(1));
  // A batch that no machine has memory for is refused before anything runs, with a batch that would do.
  CHECK_THROWS_WITH_AS(executor.resize(1 << 30, 64, 64), doctest::Contains("the largest batch that fits is about"),
                       Error);
  executor.resize(1, 2, 3);
  CHECK(executor.input().n == 1);
  CHECK_THROWS_WITH_AS(Executor(graph, params, {.backend = &ref_backend(), .conv = "winograd"}),
                       doctest::Contains("there are: ref"), Error);
}
