#include "engine/plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "engine/arena.h"

namespace rook {

std::size_t place(const std::vector<Lifetime>& buffers, std::vector<std::size_t>& offsets) {
  offsets.assign(buffers.size(), 0);
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; });
  std::vector<std::size_t> placed;
  std::size_t total = 0;
  for (const std::size_t i : order) {
    std::vector<std::pair<std::size_t, std::size_t>> taken;  // [begin, end) of buffers alive at the same time
    for (const std::size_t j : placed)
      if (buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last)
        taken.emplace_back(offsets[j], offsets[j] + arena_aligned(buffers[j].bytes));
    std::sort(taken.begin(), taken.end());
    std::size_t at = 0;
    for (const auto& [begin, end] : taken) {
      if (at + buffers[i].bytes <= begin) break;
      at = std::max(at, end);
    }
    offsets[i] = at;
    total = std::max(total, at + arena_aligned(buffers[i].bytes));
    placed.push_back(i);
  }
  return total;
}

namespace {

// Steps of time: forward of node i at i, loss and decode at size, backward of node i at 2 size - i.
struct Clock {
  int size;
  int forward(int node) const { return node; }
  int loss() const { return size; }
  int backward(int node) const { return 2 * size - node; }
  int end() const { return 2 * size + 1; }
};

class Planner {
 public:
  Planner(const Graph& graph, const PlanRequest& request) : graph_(graph), clock_{graph.size()} {
    plan_.request = request;
  }

  Plan run() {
    describe_values();
    mark_backward();
    choose_gradient_modes();
    ask_needs();
    place_all();
    return std::move(plan_);
  }

 private:
  NodePlan& at(int node) { return plan_.nodes[static_cast<std::size_t>(node)]; }
  const Node& node(int index) const { return graph_.nodes()[static_cast<std::size_t>(index)]; }
  int root(int index) { return index == kNetworkInput ? kNetworkInput : at(index).root; }

  static DType logits_type(DType compute) { return compute == DType::f64 ? compute : DType::f32; }

  // An op that backward never visits runs as in inference: no statistics, nothing saved.
  bool trains(int index) const { return plan_.request.training && index >= plan_.request.frozen; }

  void describe_values() {
    const PlanRequest& r = plan_.request;
    const auto shapes = graph_.shapes(r.h, r.w);
    plan_.input = make_tensor(nullptr, r.compute, r.batch, r.h, r.w, graph_.input().c);
    plan_.nodes.resize(shapes.size());
    for (int i = 0; i < graph_.size(); ++i) {
      const Shape s = shapes[static_cast<std::size_t>(i)];
      const bool same = !node(i).op || node(i).op->identity(trains(i));
      at(i).root = same ? root(node(i).inputs.front()) : i;
      at(i).training = trains(i);
      at(i).output = make_tensor(nullptr, node(i).logits ? logits_type(r.compute) : r.compute, r.batch, s.h, s.w, s.c);
      at(i).doutput = make_tensor(nullptr, r.compute, r.batch, s.h, s.w, s.c);
    }
    // An identity has the type of what it is: a head behind a route must not change what the route reads.
    for (int i = 0; i < graph_.size(); ++i)
      if (at(i).root != i && at(i).root != kNetworkInput) at(i).output.dtype = at(at(i).root).output.dtype;
  }

  // Backward runs for a node that has something to train, or that lies behind one.
  void mark_backward() {
    for (int i = 0; i < graph_.size(); ++i) {
      if (!at(i).training || !node(i).op) continue;
      bool wanted = !node(i).op->params().empty();
      for (const int input : node(i).inputs) wanted |= gradient_wanted(input);
      at(i).backward = wanted;
    }
  }

  bool gradient_wanted(int input) { return root(input) != kNetworkInput && at(root(input)).backward; }

  OpProblem problem_of(int index) {
    inputs_.clear();
    bool needs_dinput = false;
    for (const int input : node(index).inputs) {
      inputs_.push_back(input == kNetworkInput ? plan_.input : at(input).output);
      needs_dinput |= gradient_wanted(input);
    }
    return {.inputs = inputs_,
            .output = at(index).output,
            .gradient = plan_.request.compute,
            .training = at(index).backward,
            .needs_dinput = needs_dinput,
            .convs = plan_.request.convs};
  }

  void ask_needs() {
    for (int i = 0; i < graph_.size(); ++i) {
      if (!node(i).op || (at(i).root != i)) continue;
      at(i).needs = node(i).op->needs(problem_of(i));
      plan_.workspace_bytes = std::max(plan_.workspace_bytes, arena_aligned(at(i).needs.workspace));
      preparing_bytes_ = std::max(preparing_bytes_, arena_aligned(at(i).needs.preparing));
      at(i).state_offset = plan_.state_bytes;
      plan_.state_bytes += arena_aligned(at(i).needs.state);
    }
  }

  // In the order of backward the first to write a gradient overwrites, the others add.
  void choose_gradient_modes() {
    std::vector<bool> written(plan_.nodes.size(), false);
    for (const int head : graph_.heads()) {
      const int source = root(graph_.head_source(head));
      if (source != kNetworkInput && at(source).backward) written[static_cast<std::size_t>(source)] = true;
    }
    for (int i = graph_.size() - 1; i >= 0; --i) {
      at(i).dinput_modes.assign(node(i).inputs.size(), Grad::none);
      if (at(i).root != i) continue;
      if (!written[static_cast<std::size_t>(i)]) at(i).backward = false;  // nothing flows into it
      if (!at(i).backward) continue;
      for (std::size_t j = 0; j < node(i).inputs.size(); ++j) {
        const int source = root(node(i).inputs[j]);
        if (source == kNetworkInput || !at(source).backward) continue;
        at(i).dinput_modes[j] = written[static_cast<std::size_t>(source)] ? Grad::accumulate : Grad::overwrite;
        written[static_cast<std::size_t>(source)] = true;
      }
    }
  }

  void place_all() {
    const std::size_t none = static_cast<std::size_t>(-1);
    std::vector<Lifetime> lifetimes;
    std::vector<std::size_t> output(plan_.nodes.size(), none), gradient(plan_.nodes.size(), none),
        saved(plan_.nodes.size(), none);
    const auto add = [&](std::size_t bytes, int first, int last) {
      lifetimes.push_back({bytes, first, last});
      return lifetimes.size() - 1;
    };
    const auto bytes_of = [](const Tensor& t) { return static_cast<std::size_t>(t.elements()) * size_of(t.dtype); };
    for (int i = 0; i < graph_.size(); ++i) {
      if (at(i).root != i) continue;
      output[i] =
          add(bytes_of(at(i).output), clock_.forward(i), plan_.request.keep_all ? clock_.end() : clock_.forward(i));
      if (at(i).backward && at(i).needs.saved) saved[i] = add(at(i).needs.saved, clock_.forward(i), clock_.backward(i));
      if (at(i).backward) gradient[i] = add(bytes_of(at(i).doutput), clock_.backward(i), clock_.backward(i));
    }
    extend(lifetimes, output, gradient);
    std::vector<std::size_t> offsets;
    plan_.activation_bytes = std::max(place(lifetimes, offsets), preparing_bytes_);
    for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
      if (output[i] != none) plan_.nodes[i].output_offset = offsets[output[i]];
      if (gradient[i] != none) plan_.nodes[i].gradient_offset = offsets[gradient[i]];
      if (saved[i] != none) plan_.nodes[i].saved_offset = offsets[saved[i]];
    }
  }

  // Lifetimes reach to the last reader: consumers in forward, in backward where they ask for it, loss and decode at
  // heads.
  void extend(std::vector<Lifetime>& lifetimes, const std::vector<std::size_t>& output,
              const std::vector<std::size_t>& gradient) {
    const auto until = [&](std::size_t buffer, int step) {
      lifetimes[buffer].last = std::max(lifetimes[buffer].last, step);
    };
    for (int i = 0; i < graph_.size(); ++i) {
      const bool head = !node(i).op;
      if (at(i).root == i && at(i).backward && at(i).needs.output_in_backward) until(output[i], clock_.backward(i));
      for (std::size_t j = 0; j < node(i).inputs.size(); ++j) {
        const int source = root(node(i).inputs[j]);
        if (source == kNetworkInput) continue;
        until(output[source], head ? clock_.loss() : clock_.forward(i));
        if (at(i).root == i && at(i).backward && at(i).needs.inputs_in_backward)
          until(output[source], clock_.backward(i));
        if (!at(source).backward) continue;
        Lifetime& life = lifetimes[gradient[source]];
        if (head) life.first = std::min(life.first, clock_.loss());
        if (at(i).dinput_modes[j] != Grad::none) life.first = std::min(life.first, clock_.backward(i));
      }
    }
  }

  const Graph& graph_;
  Clock clock_;
  Plan plan_;
  std::size_t preparing_bytes_ = 0;
  std::vector<Tensor> inputs_;
};

}  // namespace

Plan make_plan(const Graph& graph, const PlanRequest& request) {
  return Planner(graph, request).run();
}

}  // namespace rook
