#include "engine/executor.h"

#include <fmt/format.h>
#include <chrono>

#include "base/error.h"

namespace rook {
namespace {

// Adds the time of its scope to *sum (null: nothing): of the device, which it waits for.
class Timer {
 public:
  Timer(double* sum, const DeviceRuntime& runtime, Stream stream) : sum_(sum), runtime_(runtime), stream_(stream) {
    if (!sum_) return;
    runtime_.synchronize(stream_);
    start_ = std::chrono::steady_clock::now();
  }
  ~Timer() noexcept(false) {
    if (!sum_) return;
    runtime_.synchronize(stream_);
    *sum_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  double* sum_;
  const DeviceRuntime& runtime_;
  Stream stream_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace

Executor::Executor(const Graph& graph, Params& params, const ExecutorOptions& options)
    : graph_(graph),
      params_(params),
      options_(options),
      convs_(*options.backend, options.conv),
      device_params_(params, *options.backend->runtime),
      stream_(runtime().create_stream()),
      activations_(runtime()),
      workspace_(runtime()),
      state_(runtime()),
      input_memory_(runtime()),
      times_(graph.nodes().size()) {}

Executor::~Executor() {
  runtime().destroy_stream(stream_);
}

void Executor::check_memory(const Plan& plan) const {
  const std::size_t have = runtime().free_bytes() + activations_.bytes() + workspace_.bytes() + state_.bytes();
  if (plan.total() <= have) return;
  PlanRequest smaller = plan.request;
  while (smaller.batch > 1) {
    smaller.batch = smaller.batch / 2;
    if (make_plan(graph_, smaller).total() <= have) break;
  }
  const bool fits = make_plan(graph_, smaller).total() <= have;
  throw Error(fmt::format("batch {} at {}x{} needs {:.1f} MB of memory, {:.1f} MB are free; {}", plan.request.batch,
                          plan.request.w, plan.request.h, plan.total() / 1e6, have / 1e6,
                          fits ? fmt::format("the largest batch that fits is about {}", smaller.batch)
                               : "not even batch 1 fits: take a smaller size of the network"));
}

void Executor::resize(int batch, int h, int w) {
  const auto key = std::make_tuple(batch, h, w);
  auto found = plans_.find(key);
  if (found == plans_.end()) {
    Plan plan = make_plan(graph_, {.batch = batch,
                                   .h = h,
                                   .w = w,
                                   .compute = options_.compute,
                                   .training = options_.training,
                                   .frozen = options_.frozen,
                                   .keep_all = options_.keep_all,
                                   .convs = &convs_});
    check_memory(plan);
    found = plans_.emplace(key, std::move(plan)).first;
  }
  if (plan_ == &found->second) return;
  plan_ = &found->second;
  bind();
  prepare();
}

void Executor::use_values(float* values) {
  values_ = values;
  if (plan_) bind();
}

void Executor::bind() {
  activations_.reserve(plan_->activation_bytes);
  workspace_.reserve(plan_->workspace_bytes);
  state_.reserve(plan_->state_bytes);
  input_ = plan_->input;
  input_memory_.reserve(static_cast<std::size_t>(input_.elements()) * size_of(input_.dtype));
  input_.data = input_memory_.data();
  input_.device = options_.backend->device;
  float* const values = values_ ? values_ : device_params_.values();
  float* const gradients = options_.training ? device_params_.gradients() : nullptr;
  bound_.clear();
  bound_.resize(plan_->nodes.size());
  for (int i = 0; i < graph_.size(); ++i) {
    const NodePlan& planned = plan_->nodes[i];
    const Node& node = graph_.nodes()[i];
    if (!node.op || planned.root != i) continue;
    Bound& b = bound_[i];
    bool needs_dinput = false;
    for (std::size_t j = 0; j < node.inputs.size(); ++j) {
      const int source = node.inputs[j];
      b.inputs.push_back(source == kNetworkInput ? input_ : output(source));
      b.dinputs.push_back({});
      if (planned.dinput_modes[j] == Grad::none) continue;
      b.dinputs.back() = {gradient(source), planned.dinput_modes[j]};
      needs_dinput = true;
    }
    b.params = params_.pointers(i, values);
    b.grads = params_.pointers(i, planned.backward ? gradients : nullptr);
    b.problem = {.inputs = b.inputs,
                 .output = output(i),
                 .gradient = options_.compute,
                 .training = planned.backward,
                 .needs_dinput = needs_dinput,
                 .convs = &convs_};
    b.run = {.backend = options_.backend,
             .convs = &convs_,
             .stream = stream_,
             .inputs = b.inputs,
             .output = output(i),
             .params = b.params,
             .grads = b.grads,
             .state = state_.data() + planned.state_offset,
             .saved = planned.saved_offset == kNoOffset ? nullptr : activations_.data() + planned.saved_offset,
             .workspace = workspace_.data(),
             .training = planned.backward,
             .bn_momentum = options_.bn_momentum,
             .seed = options_.seed,
             .counter = {},
             .node = static_cast<std::uint32_t>(i),
             .doutput = {},
             .dinputs = b.dinputs};
    if (planned.backward) b.run.doutput = gradient(i);
  }
}

Tensor Executor::output(int node) const {
  const NodePlan& planned = plan_->nodes[static_cast<std::size_t>(node)];
  Tensor tensor = planned.output;
  tensor.device = options_.backend->device;
  tensor.data = planned.root == kNetworkInput
                    ? input_.data
                    : activations_.data() + plan_->nodes[static_cast<std::size_t>(planned.root)].output_offset;
  return tensor;
}

bool Executor::has_gradient(int node) const {
  const int root = plan_->nodes[static_cast<std::size_t>(node)].root;
  return root != kNetworkInput && plan_->nodes[static_cast<std::size_t>(root)].gradient_offset != kNoOffset;
}

Tensor Executor::gradient(int node) const {
  if (!has_gradient(node))
    throw Error(
        fmt::format("layer {}: has no gradient in this plan", graph_.nodes()[static_cast<std::size_t>(node)].name));
  const NodePlan& planned = plan_->nodes[static_cast<std::size_t>(plan_->nodes[static_cast<std::size_t>(node)].root)];
  Tensor tensor = planned.doutput;
  tensor.device = options_.backend->device;
  tensor.data = activations_.data() + planned.gradient_offset;
  return tensor;
}

void Executor::prepare() {
  for (int i = 0; i < graph_.size(); ++i) {
    if (!bound_[i].run.backend) continue;
    OpRun run = bound_[i].run;
    run.workspace = activations_.data();
    graph_.nodes()[i].op->prepare(bound_[i].problem, run);
  }
}

void Executor::forward(const StepCounter& counter) {
  for (int i = 0; i < graph_.size(); ++i) {
    Bound& b = bound_[i];
    if (!b.run.backend) continue;
    const Timer timer(options_.profile ? &times_[i].forward_s : nullptr, runtime(), stream_);
    b.run.counter = counter;
    graph_.nodes()[i].op->forward(b.run);
  }
}

void Executor::backward() {
  for (int i = graph_.size() - 1; i >= 0; --i) {
    Bound& b = bound_[i];
    if (!b.run.backend || !plan_->nodes[i].backward) continue;
    const Timer timer(options_.profile ? &times_[i].backward_s : nullptr, runtime(), stream_);
    graph_.nodes()[i].op->backward(b.run);
  }
}

}  // namespace rook
