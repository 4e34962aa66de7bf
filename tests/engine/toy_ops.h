// Small ops for the tests of planning and running: they compute little, but notice when their memory is not their own.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/graph.h"
#include "tests/random.h"

namespace rook::test {

inline constexpr std::size_t kToySaved = 100;      // bytes that Mix keeps for backward
inline constexpr std::size_t kToyWorkspace = 333;  // and scribbles over in every call
inline constexpr std::size_t kToyPreparing = 500;  // and in prepare

// y = sum of a_i x_i over inputs of one shape. The a_i are parameters, read from `state` where prepare left them.
class Mix final : public Op {
 public:
  explicit Mix(int inputs) : inputs_(inputs) {}
  std::string_view kind() const override { return "mix"; }
  Shape infer(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      if (x != inputs[0]) throw Error("mix: shapes differ");
    return inputs[0];
  }
  std::vector<ParamSpec> params() const override {
    return {{.role = ParamRole::rolling_mean, .shape = {2}},
            {.role = ParamRole::weights, .shape = {inputs_}, .fan_in = 1}};
  }
  OpNeeds needs(const OpProblem& problem) const override {
    return {.state = sizeof(float) * static_cast<std::size_t>(inputs_),
            .saved = problem.training ? kToySaved : 0,
            .workspace = kToyWorkspace,
            .preparing = kToyPreparing,
            .inputs_in_backward = true};
  }
  void prepare(const OpProblem&, const OpRun& run) const override {
    std::memset(run.workspace, 0xff, kToyPreparing);
    std::memcpy(run.state, run.params[1], sizeof(float) * static_cast<std::size_t>(inputs_));
  }
  void forward(const OpRun& run) const override {
    scribble(run);
    if (run.training) std::memset(run.saved, pattern(run), kToySaved);
    const float* a = reinterpret_cast<const float*>(run.state);
    for (std::int64_t e = 0; e < run.output.elements(); ++e) {
      float sum = 0;
      for (int i = 0; i < inputs_; ++i) sum += a[i] * run.inputs[static_cast<std::size_t>(i)].as<float>()[e];
      run.output.as<float>()[e] = sum;
    }
  }
  void backward(const OpRun& run) const override {
    scribble(run);
    for (std::size_t i = 0; i < kToySaved; ++i)
      if (run.saved[i] != static_cast<std::byte>(pattern(run))) throw Error("mix: what was saved is gone");
    const float* a = reinterpret_cast<const float*>(run.state);
    float* dy = run.doutput.as<float>();
    for (int i = 0; i < inputs_; ++i) {
      const GradTarget& target = run.dinputs[static_cast<std::size_t>(i)];
      for (std::int64_t e = 0; e < run.output.elements(); ++e) {
        run.grads[1][i] += dy[e] * run.inputs[static_cast<std::size_t>(i)].as<float>()[e];
        if (target.mode == Grad::none) continue;
        float& dx = target.tensor.as<float>()[e];
        dx = a[i] * dy[e] + (target.mode == Grad::accumulate ? dx : 0);
      }
    }
    // The gradient of the output may be destroyed.
    for (std::int64_t e = 0; e < run.output.elements(); ++e) dy[e] = std::numeric_limits<float>::quiet_NaN();
  }
  double flops(std::span<const Shape>, Shape y) const override { return static_cast<double>(y.elements()) * inputs_; }

 private:
  static int pattern(const OpRun& run) { return static_cast<int>(run.node % 200) + 1; }
  static void scribble(const OpRun& run) { std::memset(run.workspace, 0xff, kToyWorkspace); }
  int inputs_;
};

// y = 1 / (1 + exp(-x)); backward reads y.
class Squash final : public Op {
 public:
  std::string_view kind() const override { return "squash"; }
  Shape infer(std::span<const Shape> inputs) const override { return inputs[0]; }
  OpNeeds needs(const OpProblem&) const override { return {.output_in_backward = true}; }
  void forward(const OpRun& run) const override {
    for (std::int64_t e = 0; e < run.output.elements(); ++e)
      run.output.as<float>()[e] = 1 / (1 + std::exp(-run.inputs[0].as<float>()[e]));
  }
  void backward(const OpRun& run) const override {
    const GradTarget& target = run.dinputs[0];
    for (std::int64_t e = 0; e < run.output.elements(); ++e) {
      const float y = run.output.as<float>()[e];
      float& dx = target.tensor.as<float>()[e];
      dx = run.doutput.as<float>()[e] * y * (1 - y) + (target.mode == Grad::accumulate ? dx : 0);
    }
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }
};

// Its input under another name; `only_inference`: a copy in training, as dropout is.
class Same final : public Op {
 public:
  explicit Same(bool only_inference) : only_inference_(only_inference) {}
  std::string_view kind() const override { return "same"; }
  Shape infer(std::span<const Shape> inputs) const override { return inputs[0]; }
  bool identity(bool training) const override { return !only_inference_ || !training; }
  void forward(const OpRun& run) const override {
    std::memcpy(run.output.data, run.inputs[0].data, static_cast<std::size_t>(run.output.elements()) * sizeof(float));
  }
  void backward(const OpRun& run) const override {
    const GradTarget& target = run.dinputs[0];
    for (std::int64_t e = 0; e < run.output.elements(); ++e) {
      float& dx = target.tensor.as<float>()[e];
      dx = run.doutput.as<float>()[e] + (target.mode == Grad::accumulate ? dx : 0);
    }
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }

 private:
  bool only_inference_;
};

// A graph of `size` nodes that reads at random what came before, with heads here and there and at the end. All values
// have one shape.
inline Graph random_graph(Random& random, int size) {
  Graph graph({2, 3, 2});
  std::vector<bool> has_head;  // of the value that a node is
  std::vector<int> roots;
  const auto root_of = [&](int node) {
    return node == kNetworkInput ? kNetworkInput : roots[static_cast<std::size_t>(node)];
  };
  const auto earlier = [&] { return static_cast<int>(random.below(graph.size() + 1)) - 1; };
  const auto near = [&] { return random.below(2) ? graph.size() - 1 : earlier(); };
  while (graph.size() < size || graph.heads().empty()) {
    const int at = graph.size();
    const std::int64_t kind = random.below(10);
    int root = at;
    if (kind < 5) {
      std::vector<int> inputs{near()};
      while (inputs.size() < 3 && random.below(2)) inputs.push_back(earlier());
      const int count = static_cast<int>(inputs.size());
      graph.add(std::make_unique<Mix>(count), std::move(inputs), "mix");
    } else if (kind < 7) {
      graph.add(std::make_unique<Squash>(), {near()}, "squash");
    } else if (kind < 9) {
      const int source = near();
      const bool only_inference = random.below(2) == 0;
      graph.add(std::make_unique<Same>(only_inference), {source}, "same");
      if (!only_inference) root = root_of(source);
    } else {
      // One head per value, and none on the picture: its gradient would be written twice, or not exist.
      if (at == 0 || root_of(at - 1) == kNetworkInput) continue;
      if (graph.nodes()[static_cast<std::size_t>(at - 1)].op == nullptr ||
          has_head[static_cast<std::size_t>(root_of(at - 1))])
        continue;
      has_head[static_cast<std::size_t>(root_of(at - 1))] = true;
      graph.add_head(at - 1, "head");
      root = root_of(at - 1);
    }
    roots.push_back(root);
    has_head.push_back(false);
  }
  return graph;
}

}  // namespace rook::test
