// A node of the network: what a layer computes, what it keeps for backward, and how it runs. One small final class per
// layer type (model/layers); composite blocks are functions that add nodes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/backend.h"
#include "engine/conv_table.h"

namespace rook {

// Shape of a value, per image.
struct Shape {
  int h = 0, w = 0, c = 0;
  std::int64_t elements() const { return std::int64_t{h} * w * c; }
  bool operator==(const Shape&) const = default;
};

// Pixels of a value: columns left..right and rows top..bottom, the ends included. May reach beyond its edges.
struct Window {
  int left = 0, top = 0, right = 0, bottom = 0;
  bool operator==(const Window&) const = default;
};

enum class ParamRole : std::uint8_t { weights, bias, scales, rolling_mean, rolling_variance };

// An array of parameters: its file name in checkpoints, its shape, how it starts.
struct ParamSpec {
  ParamRole role = ParamRole::weights;
  std::vector<std::int64_t> shape;
  int fan_in = 0;       // weights: inputs that each output sums over
  bool matrix = false;  // weights [shape[0], the rest] of whose rows the length does not matter: batch norm follows

  std::int64_t count() const {
    std::int64_t product = 1;
    for (const auto extent : shape) product *= extent;
    return product;
  }
  bool trainable() const { return role != ParamRole::rolling_mean && role != ParamRole::rolling_variance; }
};

// What is known of a run before it has memory: shapes and types of the values (data is null).
struct OpProblem {
  std::span<const Tensor> inputs;
  Tensor output;
  DType gradient = DType::f32;  // type of all gradients of activations
  bool training = false;        // keep what backward needs
  bool needs_dinput = false;    // backward will be asked for gradients of the inputs
  const ConvTable* convs = nullptr;

  const Backend& backend() const { return convs->backend(); }
};

struct OpNeeds {
  std::size_t state = 0;            // bytes that live as long as the weights: packed and folded weights
  std::size_t saved = 0;            // bytes from forward to backward
  std::size_t workspace = 0;        // bytes of scratch during one call of forward or backward
  std::size_t preparing = 0;        // bytes of scratch during one call of prepare
  bool inputs_in_backward = false;  // backward reads the inputs
  bool output_in_backward = false;  // backward reads the output
};

// Where a gradient of an input goes.
struct GradTarget {
  Tensor tensor;
  Grad mode = Grad::none;
};

// Which step of a training this is, for what is random in it: a number, or a place in the device's memory with the step
// and the part of it.
struct StepCounter {
  std::uint32_t iteration = 0;  // with `step`: the part
  std::uint32_t parts = 1;      // of a step
  const StepState* step = nullptr;
};

// A run: memory and pointers. `params` and `grads` follow the order of Op::params(); a grad is null where frozen.
struct OpRun {
  const Backend* backend = nullptr;
  const ConvTable* convs = nullptr;
  Stream stream;
  std::span<const Tensor> inputs;
  Tensor output;
  std::span<float* const> params;
  std::span<float* const> grads;
  std::byte* state = nullptr;
  std::byte* saved = nullptr;
  std::byte* workspace = nullptr;  // scratch of this call
  bool training = false;
  float bn_momentum = 0.01f;  // share of a batch in the running estimates of batch norm
  std::uint64_t seed = 0;
  StepCounter counter;
  std::uint32_t node = 0;
  // backward only
  Tensor doutput;  // may be overwritten: nobody reads it afterwards
  std::span<const GradTarget> dinputs;
};

class Op {
 public:
  virtual ~Op() = default;
  virtual std::string_view kind() const = 0;
  // Throws Error when the shapes do not fit.
  virtual Shape infer(std::span<const Shape> inputs) const = 0;
  virtual std::vector<ParamSpec> params() const { return {}; }
  // The output is the first input itself (no memory, no work).
  virtual bool identity(bool /*training*/) const { return false; }
  virtual OpNeeds needs(const OpProblem&) const { return {}; }
  // Brings the parameters into the form that forward and backward read (`state`); called whenever they have changed.
  virtual void prepare(const OpProblem&, const OpRun&) const {}
  virtual void forward(const OpRun&) const = 0;
  virtual void backward(const OpRun&) const = 0;
  // Of a convolution its geometry, null of everything else.
  virtual const ConvGeometry* convolution() const { return nullptr; }
  // Floating point operations per image as darknet counts them (2 per multiply-add).
  virtual double flops(std::span<const Shape> inputs, Shape output) const = 0;
  // The pixels of input `input` that those of the output in a window are computed from: the smallest window that holds
  // them all. It may reach into padding.
  virtual Window reads(std::size_t /*input*/, const Window& output, std::span<const Shape> /*inputs*/) const {
    return output;
  }
};

}  // namespace rook
