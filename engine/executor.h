// Runs a planned graph: owns the memory of one role each, binds pointers once per plan, then only calls kernels.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "engine/device_params.h"
#include "engine/params.h"
#include "engine/plan.h"

namespace rook {

struct ExecutorOptions {
  const Backend* backend = nullptr;
  DType compute = DType::f32;
  bool training = false;
  int frozen = 0;  // nodes before this one are not trained
  bool keep_all = false;
  bool profile = false;
  ConvChoice conv;            // of rows of the convolution table, besides its default rule
  float bn_momentum = 0.01f;  // darknet's
  std::uint64_t seed = 0;
};

// Time a node took, summed over the runs since the last reset.
struct NodeTime {
  double forward_s = 0, backward_s = 0;
};

class Executor {
 public:
  Executor(const Graph& graph, Params& params, const ExecutorOptions& options);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Plans (once per size) and binds memory. Throws Error before anything runs when memory is short, saying how
  // much is needed, how much is free and which batch would fit.
  void resize(int batch, int h, int w);
  // The parameters have changed: packs or folds them again. Outputs of earlier runs are lost: no value is alive now, so
  // its scratch is the memory of the values.
  void prepare();
  // Reads parameters from another arena of the same layout in the device's memory (the EMA) from the next prepare() on;
  // null: the params' own.
  void use_values(float* values);

  // The device's copy of the parameters and its gradients; on the CPU they are those of Params.
  float* values() { return device_params_.values(); }
  float* gradients() { return device_params_.gradients(); }
  // The host's parameters to the device, and back. Nothing on the CPU.
  void upload() { device_params_.upload(stream_); }
  void download() { device_params_.download(stream_); }

  Stream stream() const { return stream_; }
  // Bytes of all arenas: when it has changed, pointers have.
  std::size_t memory() const {
    return activations_.bytes() + workspace_.bytes() + state_.bytes() + input_memory_.bytes();
  }
  const DeviceRuntime& runtime() const { return *options_.backend->runtime; }

  Tensor input() const { return input_; }  // to be written before forward
  Tensor output(int node) const;           // after forward; earlier values may be gone unless keep_all
  Tensor gradient(int node) const;         // of the logits a head reads: to be written before backward
  void forward(const StepCounter& counter = {});
  void backward();  // adds to params.gradients()
  bool has_gradient(int node) const;

  const Plan& plan() const { return *plan_; }
  const ExecutorOptions& options() const { return options_; }
  const Graph& graph() const { return graph_; }
  std::vector<NodeTime>& times() { return times_; }

 private:
  struct Bound {  // what a node's run needs, pointers in place
    OpProblem problem;
    OpRun run;
    std::vector<Tensor> inputs;
    std::vector<float*> params, grads;
    std::vector<GradTarget> dinputs;
  };

  void bind();
  void check_memory(const Plan& plan) const;

  const Graph& graph_;
  Params& params_;
  ExecutorOptions options_;
  ConvTable convs_;
  std::map<std::tuple<int, int, int>, Plan> plans_;
  const Plan* plan_ = nullptr;
  DeviceParams device_params_;
  float* values_ = nullptr;  // in use instead of the device's copy
  Stream stream_;
  Arena activations_, workspace_, state_, input_memory_;
  Tensor input_;
  std::vector<Bound> bound_;
  std::vector<NodeTime> times_;
};

}  // namespace rook
