// The activations that are not of one value alone: normalize_channels and its softmax kinds, around any layer.
#include "base/error.h"
#include "engine/arena.h"
#include "model/layers/layers.h"

namespace rook {
namespace {

// The layer without an activation writes v into memory of this op: what is kept for backward where the layer trains,
// scratch elsewhere, at the front of both. The gradient of v takes the place of that of the output.
class NormalizeChannels final : public Op {
 public:
  NormalizeChannels(std::unique_ptr<Op> layer, ChannelNorm norm) : layer_(std::move(layer)), norm_(norm) {}

  std::string_view kind() const override { return layer_->kind(); }
  Shape infer(std::span<const Shape> inputs) const override { return layer_->infer(inputs); }
  std::vector<ParamSpec> params() const override { return layer_->params(); }
  const ConvGeometry* convolution() const override { return layer_->convolution(); }
  double flops(std::span<const Shape> inputs, Shape output) const override { return layer_->flops(inputs, output); }
  Window reads(std::size_t input, const Window& output, std::span<const Shape> inputs) const override {
    return layer_->reads(input, output, inputs);
  }

  OpNeeds needs(const OpProblem& problem) const override {
    if (problem.training && problem.gradient != problem.output.dtype)
      throw Error("a normalising activation cannot train in front of a head unless all is f32; take --precision f32");
    OpNeeds needs = layer_->needs(problem);
    (problem.training ? needs.saved : needs.workspace) += bytes_of(problem.output);
    needs.output_in_backward = false;  // the layer's output is v
    return needs;
  }

  void prepare(const OpProblem& problem, const OpRun& run) const override { layer_->prepare(problem, run); }

  void forward(const OpRun& run) const override {
    const OpRun inner = run_of_layer(run);
    layer_->forward(inner);
    run.backend->normalize_channels_forward({.x = inner.output, .y = run.output, .kind = norm_}, run.stream);
  }

  void backward(const OpRun& run) const override {
    const OpRun inner = run_of_layer(run);
    run.backend->normalize_channels_backward({.x = inner.output, .dy = run.doutput, .dx = run.doutput, .kind = norm_},
                                             run.stream);
    layer_->backward(inner);
  }

 private:
  static std::size_t bytes_of(const Tensor& t) {
    return arena_aligned(static_cast<std::size_t>(t.elements()) * size_of(t.dtype));
  }

  static OpRun run_of_layer(const OpRun& run) {
    OpRun inner = run;
    std::byte*& memory = run.training ? inner.saved : inner.workspace;
    const Tensor& y = run.output;
    inner.output = make_tensor(memory, y.dtype, y.n, y.h, y.w, y.c);
    inner.output.device = y.device;
    memory += bytes_of(y);
    return inner;
  }

  std::unique_ptr<Op> layer_;
  ChannelNorm norm_;
};

}  // namespace

std::unique_ptr<Op> make_normalize_channels(std::unique_ptr<Op> layer, ChannelNorm norm) {
  return std::make_unique<NormalizeChannels>(std::move(layer), norm);
}

}  // namespace rook
