// The memory planner: no two buffers that live at the same time share bytes, and what is needed is still there.
#include "engine/plan.h"

#include <numeric>

#include "engine/arena.h"
#include "tests/engine/toy_ops.h"

using namespace rook;
using namespace rook::test;

namespace {

std::size_t sum_of(const std::vector<Lifetime>& buffers) {
  return std::accumulate(buffers.begin(), buffers.end(), std::size_t{0},
                         [](std::size_t sum, const Lifetime& b) { return sum + arena_aligned(b.bytes); });
}

// The most bytes that live at one step: no plan can do with less.
std::size_t peak_of(const std::vector<Lifetime>& buffers) {
  std::size_t peak = 0;
  for (const Lifetime& at : buffers) {
    std::size_t now = 0;
    for (const Lifetime& b : buffers)
      if (b.first <= at.first && at.first <= b.last) now += arena_aligned(b.bytes);
    peak = std::max(peak, now);
  }
  return peak;
}

// Plays a run on a map of who wrote each block of memory last.
class Replay {
 public:
  Replay(const Graph& graph, const Plan& plan)
      : graph_(graph), plan_(plan), owner_(plan.activation_bytes / kArenaAlign, -1) {}

  int violations() {
    for (int i = 0; i < graph_.size(); ++i) forward(i);
    for (const int head : graph_.heads()) read_value(graph_.head_source(head));
    if (plan_.request.training) backward();
    return violations_;
  }

 private:
  const NodePlan& at(int node) const { return plan_.nodes[static_cast<std::size_t>(node)]; }
  static std::size_t bytes_of(const Tensor& t) { return static_cast<std::size_t>(t.elements()) * size_of(t.dtype); }
  int value(int node) const { return 3 * at(node).root; }
  int gradient(int node) const { return 3 * at(node).root + 1; }

  template <class Visit>
  void blocks(std::size_t offset, std::size_t bytes, Visit visit) {
    if (offset == kNoOffset || offset % kArenaAlign != 0 || offset + bytes > plan_.activation_bytes) {
      ++violations_;
      return;
    }
    for (std::size_t b = offset / kArenaAlign; b < arena_aligned(offset + bytes) / kArenaAlign; ++b) visit(owner_[b]);
  }
  void write(std::size_t offset, std::size_t bytes, int who) {
    blocks(offset, bytes, [&](int& owner) { owner = who; });
  }
  void read(std::size_t offset, std::size_t bytes, int who) {
    blocks(offset, bytes, [&](int& owner) { violations_ += owner != who; });
  }
  void read_value(int node) {
    if (node == kNetworkInput || at(node).root == kNetworkInput) return;
    const NodePlan& root = at(at(node).root);
    read(root.output_offset, bytes_of(root.output), value(node));
  }

  void forward(int i) {
    const NodePlan& node = at(i);
    if (node.root != i) return;
    write(node.output_offset, bytes_of(node.output), value(i));
    if (node.backward && node.needs.saved) write(node.saved_offset, node.needs.saved, 3 * i + 2);
    for (const int input : graph_.nodes()[static_cast<std::size_t>(i)].inputs) read_value(input);
    if (plan_.request.keep_all)
      for (int earlier = 0; earlier <= i; ++earlier) read_value(earlier);
  }

  void backward() {
    for (const int head : graph_.heads()) {
      const int source = at(graph_.head_source(head)).root;
      if (source == kNetworkInput) continue;
      const NodePlan& root = at(source);
      if (root.backward) write(root.gradient_offset, bytes_of(root.doutput), gradient(graph_.head_source(head)));
    }
    for (int i = graph_.size() - 1; i >= 0; --i) {
      const NodePlan& node = at(i);
      if (node.root != i || !node.backward) continue;
      read(node.gradient_offset, bytes_of(node.doutput), gradient(i));
      if (node.needs.saved) read(node.saved_offset, node.needs.saved, 3 * i + 2);
      if (node.needs.output_in_backward) read_value(i);
      const auto& inputs = graph_.nodes()[static_cast<std::size_t>(i)].inputs;
      for (std::size_t j = 0; j < inputs.size(); ++j) {
        if (node.needs.inputs_in_backward) read_value(inputs[j]);
        if (node.dinput_modes[j] == Grad::none) continue;
        const NodePlan& root = at(at(inputs[j]).root);
        if (node.dinput_modes[j] == Grad::accumulate)
          read(root.gradient_offset, bytes_of(root.doutput), gradient(inputs[j]));
        write(root.gradient_offset, bytes_of(root.doutput), gradient(inputs[j]));
      }
      read(node.gradient_offset, bytes_of(node.doutput), gradient(i));  // was not written over meanwhile
    }
  }

  const Graph& graph_;
  const Plan& plan_;
  std::vector<int> owner_;  // of each block: 3 node + {0 value, 1 gradient, 2 saved}
  int violations_ = 0;
};

// Nodes of Mix in a row, the last read by a head.
Graph chain(int length, Shape shape) {
  Graph graph(shape);
  for (int i = 0; i < length; ++i) graph.add(std::make_unique<Mix>(1), {i - 1}, "mix");
  graph.add_head(length - 1, "head");
  return graph;
}

}  // namespace

TEST_CASE("place: buffers that live at the same time do not overlap") {
  Random random(1);
  for (int round = 0; round < 400; ++round) {
    const int steps = 1 + static_cast<int>(random.below(30));
    std::vector<Lifetime> buffers(static_cast<std::size_t>(random.below(40)));
    for (Lifetime& b : buffers) {
      b.bytes = static_cast<std::size_t>(random.below(5) == 0 ? 0 : random.below(1000));
      b.first = static_cast<int>(random.below(steps));
      b.last = b.first + static_cast<int>(random.below(steps));
    }
    std::vector<std::size_t> offsets;
    const std::size_t total = place(buffers, offsets);
    REQUIRE(offsets.size() == buffers.size());
    CHECK(total <= sum_of(buffers));
    CHECK(total >= peak_of(buffers));
    int overlaps = 0;
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      CHECK(offsets[i] % kArenaAlign == 0);
      CHECK(offsets[i] + buffers[i].bytes <= total);
      for (std::size_t j = 0; j < i; ++j) {
        const bool together = buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
        const bool apart = offsets[i] + buffers[i].bytes <= offsets[j] || offsets[j] + buffers[j].bytes <= offsets[i];
        overlaps += together && !apart;
      }
    }
    CHECK(overlaps == 0);
  }
}

TEST_CASE("place: by hand") {
  std::vector<std::size_t> offsets;
  CHECK(place({}, offsets) == 0);
  // Two that do not meet share a place; the small one goes above the large one that it meets.
  CHECK(place({{64, 0, 1}, {256, 1, 2}, {64, 3, 4}}, offsets) == 320);
  CHECK(offsets == std::vector<std::size_t>{256, 0, 0});
  // A step that both name is lived by both.
  CHECK(place({{64, 0, 3}, {64, 3, 4}}, offsets) == 128);
  CHECK(place({{64, 0, 2}, {64, 3, 4}}, offsets) == 64);
  // Sizes are rounded up to whole cache lines.
  CHECK(place({{65, 0, 0}, {1, 0, 0}}, offsets) == 192);
}

TEST_CASE("plan: a chain in inference takes turns between two places") {
  const Graph graph = chain(9, {4, 4, 4});
  const std::size_t value = 2 * 4 * 4 * 4 * sizeof(float);
  const Plan plan = make_plan(graph, {.batch = 2, .h = 4, .w = 4});
  CHECK(plan.activation_bytes == 2 * value);
  CHECK(plan.workspace_bytes == arena_aligned(kToyWorkspace));
  CHECK(plan.state_bytes == 9 * kArenaAlign);
  CHECK(plan.total() == plan.activation_bytes + plan.workspace_bytes + plan.state_bytes);
  const Plan all = make_plan(graph, {.batch = 2, .h = 4, .w = 4, .keep_all = true});
  CHECK(all.activation_bytes == 9 * value);
  // Of one pixel the values are smaller than the scratch of prepare, which takes their place.
  const Plan tiny = make_plan(graph, {.batch = 1, .h = 1, .w = 1});
  CHECK(tiny.activation_bytes == arena_aligned(kToyPreparing));
  // Training keeps every input and two gradients at a time; backward frees what it no longer reads.
  const Plan training = make_plan(graph, {.batch = 2, .h = 4, .w = 4, .training = true});
  const std::size_t saved = arena_aligned(kToySaved);
  CHECK(training.activation_bytes >= 9 * (value + saved));
  CHECK(training.activation_bytes <= 11 * value + 9 * saved);
}

TEST_CASE("plan: shapes follow the size asked for") {
  const Graph graph = chain(3, {4, 4, 5});
  const Plan plan = make_plan(graph, {.batch = 3, .h = 7, .w = 9, .compute = DType::bf16});
  CHECK((plan.input.n == 3 && plan.input.h == 7 && plan.input.w == 9 && plan.input.c == 5 &&
         plan.input.dtype == DType::bf16));
  const Tensor& hidden = plan.nodes[1].output;
  CHECK((hidden.n == 3 && hidden.h == 7 && hidden.w == 9 && hidden.c == 5 && hidden.dtype == DType::bf16));
  CHECK(plan.nodes[2].output.dtype == DType::f32);  // logits
  CHECK(plan.nodes[2].doutput.dtype == DType::bf16);
  CHECK(plan.nodes[3].root == 2);  // the head shares what it reads
}

TEST_CASE("plan: the first to write a gradient overwrites, the others add") {
  // 0 feeds 1, 2 and (through 3, the same value) 4; a head reads 1 and another 4.
  Graph graph({1, 1, 3});
  graph.add(std::make_unique<Mix>(1), {kNetworkInput}, "0");
  graph.add(std::make_unique<Mix>(1), {0}, "1");
  graph.add(std::make_unique<Mix>(2), {0, 1}, "2");
  graph.add(std::make_unique<Same>(false), {0}, "3");
  graph.add(std::make_unique<Mix>(2), {3, 2}, "4");
  graph.add_head(1, "5");
  graph.add_head(4, "6");
  graph.add(std::make_unique<Mix>(1), {4}, "7: nobody reads it");
  const Plan plan = make_plan(graph, {.batch = 1, .h = 1, .w = 1, .training = true});
  using Modes = std::vector<Grad>;
  CHECK(plan.nodes[3].root == 0);
  CHECK(plan.nodes[4].dinput_modes == Modes{Grad::overwrite, Grad::overwrite});
  CHECK(plan.nodes[2].dinput_modes == Modes{Grad::accumulate, Grad::accumulate});  // 1 has its head's
  CHECK(plan.nodes[1].dinput_modes == Modes{Grad::accumulate});
  CHECK(plan.nodes[0].dinput_modes == Modes{Grad::none});
  CHECK_FALSE(plan.nodes[7].backward);
  CHECK(plan.nodes[7].gradient_offset == kNoOffset);
  CHECK(plan.nodes[7].saved_offset == kNoOffset);
  const Plan frozen = make_plan(graph, {.batch = 1, .h = 1, .w = 1, .training = true, .frozen = 2});
  CHECK_FALSE(frozen.nodes[0].backward);
  CHECK_FALSE(frozen.nodes[1].backward);
  CHECK(frozen.nodes[2].backward);
  CHECK(frozen.nodes[2].dinput_modes == Modes{Grad::none, Grad::none});
  CHECK(frozen.nodes[4].dinput_modes == Modes{Grad::none, Grad::overwrite});
}

TEST_CASE("plan: whatever is read is what was written, in graphs with many branches") {
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    const Graph graph = random_graph(random, 2 + static_cast<int>(random.below(25)));
    for (const bool training : {false, true})
      for (const bool keep_all : {false, true}) {
        const int frozen =
            training ? static_cast<int>(random.below(graph.size())) * static_cast<int>(random.below(2)) : 0;
        const Plan plan = make_plan(graph, {.batch = 1 + static_cast<int>(random.below(3)),
                                            .h = 2,
                                            .w = 3,
                                            .training = training,
                                            .frozen = frozen,
                                            .keep_all = keep_all});
        CHECK(Replay(graph, plan).violations() == 0);
      }
  }
}
