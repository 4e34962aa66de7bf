// Graphs and the parameters of their nodes.
#include "engine/graph.h"

#include <algorithm>
#include <cmath>

#include "engine/arena.h"
#include "engine/params.h"
#include "tests/engine/toy_ops.h"

using namespace rook;
using namespace rook::test;

namespace {

// An op that halves the picture and has parameters of all roles.
class Layer final : public Op {
 public:
  Layer(int channels, int fan_in) : channels_(channels), fan_in_(fan_in) {}
  std::string_view kind() const override { return "layer"; }
  Shape infer(std::span<const Shape> inputs) const override { return {inputs[0].h / 2, inputs[0].w / 2, channels_}; }
  std::vector<ParamSpec> params() const override {
    return {{.role = ParamRole::bias, .shape = {channels_}},
            {.role = ParamRole::scales, .shape = {channels_}},
            {.role = ParamRole::rolling_mean, .shape = {channels_}},
            {.role = ParamRole::rolling_variance, .shape = {channels_}},
            {.role = ParamRole::weights, .shape = {channels_, 3, 3, 2}, .fan_in = fan_in_}};
  }
  void forward(const OpRun&) const override {}
  void backward(const OpRun&) const override {}
  double flops(std::span<const Shape> inputs, Shape y) const override {
    return static_cast<double>(inputs[0].elements() + y.elements());
  }

 private:
  int channels_, fan_in_;
};

Graph two_layers(int fan_in = 18) {
  Graph graph({16, 8, 3});
  graph.add(std::make_unique<Layer>(5, fan_in), {kNetworkInput}, "0 [layer]");
  graph.add(std::make_unique<Same>(false), {0}, "1 [same]");
  graph.add(std::make_unique<Layer>(700, fan_in), {1}, "2 [layer]");
  graph.add_head(2, "3 [head]");
  return graph;
}

double mean_square(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * v;
  return sum / static_cast<double>(values.size());
}

std::vector<float> weights_of(const Graph& graph, int node, std::uint64_t seed) {
  Params params(graph);
  params.initialise(seed);
  const auto values = params.value(*params.find(node, ParamRole::weights));
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("graph: shapes, of its own size and of another") {
  const Graph graph = two_layers();
  CHECK(graph.size() == 4);
  CHECK(graph.nodes()[0].output == Shape{8, 4, 5});
  CHECK(graph.nodes()[2].output == Shape{4, 2, 700});
  CHECK(graph.nodes()[3].output == Shape{4, 2, 700});
  CHECK(graph.heads() == std::vector<int>{3});
  CHECK(graph.head_source(3) == 2);
  CHECK(graph.nodes()[2].logits);
  CHECK_FALSE(graph.nodes()[1].logits);
  CHECK(graph.shapes(32, 48) == std::vector<Shape>{{16, 24, 5}, {16, 24, 5}, {8, 12, 700}, {8, 12, 700}});
  CHECK(graph.flops() == 16 * 8 * 3 + 8 * 4 * 5 + 8 * 4 * 5 + 4 * 2 * 700);
}

TEST_CASE("graph: what does not fit is refused, naming the layer") {
  Graph graph({1, 3, 2});
  graph.add(std::make_unique<Mix>(1), {kNetworkInput}, "0 [mix]");
  CHECK_THROWS_WITH_AS(graph.add(std::make_unique<Mix>(1), {1}, "1 [mix]"),
                       doctest::Contains("layer 1 [mix]: reads layer 1, which does not come before"), Error);
  CHECK_THROWS_WITH_AS(graph.add(std::make_unique<Mix>(1), {-2}, "1 [mix]"), doctest::Contains("1 [mix]"), Error);
  CHECK_THROWS_AS(graph.add_head(1, "1 [head]"), Error);
  CHECK_THROWS_AS(graph.add_head(kNetworkInput, "1 [head]"), Error);
  CHECK_THROWS_WITH_AS(graph.add(std::make_unique<Layer>(4, 1), {0}, "1 [layer]"),
                       doctest::Contains("picture is too small"), Error);
  CHECK(graph.size() == 1);
  graph.add(std::make_unique<Mix>(2), {0, 0}, "1 [mix]");
  CHECK_THROWS_WITH_AS(two_layers().shapes(3, 8), doctest::Contains("layer 2 [layer]"), Error);
}

TEST_CASE("params: trainable ones first, every one where its node finds it") {
  const Graph graph = two_layers();
  Params params(graph);
  CHECK(params.trainable() == 2 * 5 + 5 * 18 + 2 * 700 + 700 * 18);
  CHECK(params.total() == params.trainable() + 2 * 5 + 2 * 700);
  CHECK(params.values().size() == static_cast<std::size_t>(params.total()));
  CHECK(params.gradients().size() == static_cast<std::size_t>(params.trainable()));
  std::int64_t at = 0;
  for (const Param& param : params.all()) {  // without gaps
    CHECK(param.offset == at);
    CHECK(param.spec.trainable() == (param.end() <= params.trainable()));
    at = param.end();
  }
  CHECK(at == params.total());
  CHECK(params.find(2, ParamRole::weights)->name == "layers.2.weights");
  CHECK(params.find(0, ParamRole::rolling_variance)->name == "layers.0.rolling_variance");
  CHECK(params.find(1, ParamRole::weights) == nullptr);
  CHECK(params.find(3, ParamRole::bias) == nullptr);
  // In the order of Op::params(), in whatever arena.
  std::vector<float> other(params.values().size());
  const auto pointers = params.pointers(2, other.data());
  constexpr ParamRole kOrder[] = {ParamRole::bias, ParamRole::scales, ParamRole::rolling_mean,
                                  ParamRole::rolling_variance, ParamRole::weights};
  REQUIRE(pointers.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(pointers[i] == other.data() + params.find(2, kOrder[i])->offset);
  CHECK(params.pointers(2, nullptr) == std::vector<float*>(5, nullptr));
  CHECK(params.pointers(1, other.data()).empty());
}

TEST_CASE("params: the optimizer decays weights only and leaves frozen layers alone") {
  const Graph graph = two_layers();
  const Params params(graph);
  const auto segments = params.segments(0.25f, 1);
  REQUIRE(segments.size() == 6);
  std::int64_t at = 0;
  for (const ParamSegment& segment : segments) {
    CHECK(segment.begin == at);
    at = segment.end;
    CHECK(segment.lr_scale == (segment.layer == 0 ? 0.0f : 1.0f));
    const bool weights = segment.begin == params.find(segment.layer, ParamRole::weights)->offset;
    CHECK(segment.decay == (weights ? 0.25f : 0.0f));
  }
  CHECK(at == params.trainable());
}

TEST_CASE("params: how they start") {
  const Graph graph = two_layers();
  Params params(graph);
  for (float& v : params.values()) v = 7;
  params.initialise(5);
  for (const Param& param : params.all()) {
    if (param.spec.role == ParamRole::weights) continue;
    const bool one = param.spec.role == ParamRole::scales || param.spec.role == ParamRole::rolling_variance;
    for (const float v : params.value(param)) CHECK(v == (one ? 1.0f : 0.0f));
  }
  const auto a = weights_of(graph, 2, 5);
  CHECK(a == weights_of(graph, 2, 5));
  CHECK(a != weights_of(graph, 2, 6));
  // Normal: mean 0, fourth moment three times the squared second; 12600 numbers.
  double sum = 0, fourth = 0;
  for (const float v : a) sum += v;
  for (const float v : a) fourth += std::pow(v, 4);
  const double variance = mean_square(a), count = static_cast<double>(a.size());
  CHECK(std::abs(sum / count) < 4 * std::sqrt(variance / count));
  CHECK(fourth / count == doctest::Approx(3 * variance * variance).epsilon(0.1));
  CHECK(std::all_of(a.begin(), a.end(), [](float v) { return std::isfinite(v); }));
  // The variance goes with 1 / fan_in.
  CHECK(mean_square(weights_of(two_layers(18 * 9), 2, 5)) == doctest::Approx(variance / 9).epsilon(1e-4));
  // A layer's start does not depend on what stands before it.
  Graph longer({16, 8, 3});
  longer.add(std::make_unique<Layer>(11, 18), {kNetworkInput}, "0");
  longer.add(std::make_unique<Mix>(1), {0}, "1");
  longer.add(std::make_unique<Layer>(700, 18), {1}, "2");
  CHECK(weights_of(longer, 2, 5) == a);
  const auto other_node = weights_of(graph, 0, 5);
  CHECK_FALSE(std::equal(other_node.begin(), other_node.end(), a.begin()));
}

TEST_CASE("arena: grows when asked, zeroed and aligned, and never otherwise") {
  Arena arena;
  CHECK(arena.data() == nullptr);
  arena.reserve(100);
  std::byte* at = arena.data();
  CHECK(reinterpret_cast<std::uintptr_t>(at) % kArenaAlign == 0);
  CHECK(arena.bytes() == 100);
  CHECK(std::all_of(at, at + 100, [](std::byte b) { return b == std::byte{0}; }));
  arena.as<float>()[3] = 1;
  arena.reserve(10);
  CHECK((arena.data() == at && arena.as<float>()[3] == 1));
  arena.reserve(1000);
  CHECK(arena.bytes() == 1000);
  CHECK(arena.as<float>()[3] == 0);
  CHECK(arena_aligned(0) == 0);
  CHECK(arena_aligned(1) == kArenaAlign);
  CHECK(arena_aligned(kArenaAlign) == kArenaAlign);
  CHECK(cpu::runtime().free_bytes() > 0);
}
