// Layers that bring several values together: [route], [shortcut], [scale_channels], [sam]. The last three may end in an
// activation; training then keeps the value before it.
#include <fmt/format.h>

#include "base/error.h"
#include "model/layers/layers.h"

namespace rook {
namespace {

class Route final : public Op {
 public:
  Route(int inputs, int groups, int group_id) : inputs_(inputs), groups_(groups), group_id_(group_id) {
    if (groups < 1 || group_id < 0 || group_id >= groups)
      throw Error(fmt::format("group_id={} is not one of groups={}", group_id, groups));
  }
  std::string_view kind() const override { return "route"; }
  Shape infer(std::span<const Shape> inputs) const override {
    Shape y{inputs[0].h, inputs[0].w, 0};
    for (const Shape& x : inputs) {
      if (x.h != y.h || x.w != y.w) throw Error(fmt::format("joins layers of {}x{} and {}x{}", y.w, y.h, x.w, x.h));
      if (x.c % groups_) throw Error(fmt::format("groups={} does not divide {} channels", groups_, x.c));
      y.c += x.c / groups_;
    }
    return y;
  }
  bool identity(bool) const override { return groups_ == 1 && inputs_ == 1; }
  void forward(const OpRun& run) const override {
    int at = 0;
    for (const Tensor& x : run.inputs) {
      const int c = x.c / groups_;
      run.backend->copy_channels({.src = x.channels(group_id_ * c, c), .dst = run.output.channels(at, c)}, run.stream);
      at += c;
    }
  }
  void backward(const OpRun& run) const override {
    int at = 0;
    for (std::size_t i = 0; i < run.inputs.size(); ++i) {
      const int c = run.inputs[i].c / groups_;
      const GradTarget& target = run.dinputs[i];
      if (target.mode != Grad::none) give(run, target, run.doutput.channels(at, c), group_id_ * c);
      at += c;
    }
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }

 private:
  // The gradient of a slice; the channels that were not routed get none.
  void give(const OpRun& run, const GradTarget& target, const Tensor& gradient, int first) const {
    const Tensor& dx = target.tensor;
    run.backend->copy_channels({.src = gradient, .dst = dx.channels(first, gradient.c), .mode = target.mode},
                               run.stream);
    if (target.mode != Grad::overwrite || groups_ == 1) return;
    for (int group = 0; group < groups_; ++group)
      if (group != group_id_)
        run.backend->fill_channels({.dst = dx.channels(group * gradient.c, gradient.c), .value = 0}, run.stream);
  }

  int inputs_, groups_, group_id_;
};

// What layers that end in an activation share: in training the value before it is kept, in inference it is activated in
// place.
class Activated : public Op {
 public:
  explicit Activated(Activation activation) : activation_(activation) {}
  OpNeeds needs(const OpProblem& problem) const override {
    const bool keeps = problem.training && activation_ != Activation::linear;
    return {.saved = keeps ? static_cast<std::size_t>(problem.output.elements()) * size_of(problem.output.dtype) : 0,
            .inputs_in_backward = reads_inputs()};
  }
  void forward(const OpRun& run) const final {
    combine(run, before(run));
    if (activation_ != Activation::linear)
      run.backend->activation_forward({.x = before(run), .y = run.output, .activation = activation_}, run.stream);
  }
  void backward(const OpRun& run) const final {
    if (activation_ != Activation::linear)
      run.backend->activation_backward(
          {.x = before(run), .dy = run.doutput, .dx = run.doutput, .activation = activation_}, run.stream);
    split(run);
  }

 protected:
  virtual bool reads_inputs() const = 0;
  virtual void combine(const OpRun& run, const Tensor& sum) const = 0;
  virtual void split(const OpRun& run) const = 0;  // run.doutput is the gradient before the activation

 private:
  Tensor before(const OpRun& run) const {
    Tensor value = run.output;
    if (run.training && activation_ != Activation::linear) value.data = run.saved;
    return value;
  }
  Activation activation_;
};

class Shortcut final : public Activated {
 public:
  using Activated::Activated;
  std::string_view kind() const override { return "shortcut"; }
  Shape infer(std::span<const Shape> inputs) const override {
    for (const Shape& x : inputs)
      if (x.h != inputs[0].h || x.w != inputs[0].w)
        throw Error(fmt::format("adds layers of {}x{} and {}x{}", inputs[0].w, inputs[0].h, x.w, x.h));
    return inputs[0];
  }
  double flops(std::span<const Shape> inputs, Shape y) const override {
    return static_cast<double>(y.elements()) * static_cast<double>(inputs.size() - 1);
  }

 private:
  bool reads_inputs() const override { return false; }
  void combine(const OpRun& run, const Tensor& sum) const override {
    run.backend->shortcut_forward({.inputs = run.inputs, .y = sum}, run.stream);
  }
  void split(const OpRun& run) const override {
    for (const GradTarget& target : run.dinputs)
      if (target.mode != Grad::none)
        run.backend->shortcut_backward({.dy = run.doutput, .dinput = target.tensor, .mode = target.mode}, run.stream);
  }
};

class ScaleChannels final : public Activated {
 public:
  ScaleChannels(Activation activation, bool per_pixel) : Activated(activation), per_pixel_(per_pixel) {}
  std::string_view kind() const override { return "scale_channels"; }
  Shape infer(std::span<const Shape> inputs) const override {
    const Shape gate = inputs[0], x = inputs[1];
    const Shape wanted = per_pixel_ ? Shape{x.h, x.w, 1} : Shape{1, 1, x.c};
    if (gate != wanted)
      throw Error(fmt::format("a gate of {}x{}x{} does not fit the {}x{}x{} it scales: with scale_wh={} it is {}x{}x{}",
                              gate.w, gate.h, gate.c, x.w, x.h, x.c, per_pixel_ ? 1 : 0, wanted.w, wanted.h, wanted.c));
    return x;
  }
  Window reads(std::size_t input, const Window& y, std::span<const Shape> inputs) const override {
    const bool per_channel = input == 0 && inputs[0].h == 1 && inputs[0].w == 1;
    return per_channel ? Window{} : y;
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }  // darknet does not count them

 private:
  bool reads_inputs() const override { return true; }
  void combine(const OpRun& run, const Tensor& product) const override {
    run.backend->scale_channels_forward({.x = run.inputs[1], .gate = run.inputs[0], .y = product}, run.stream);
  }
  void split(const OpRun& run) const override {
    run.backend->scale_channels_backward({.x = run.inputs[1],
                                          .gate = run.inputs[0],
                                          .dy = run.doutput,
                                          .dx = run.dinputs[1].tensor,
                                          .dgate = run.dinputs[0].tensor,
                                          .dx_mode = run.dinputs[1].mode,
                                          .dgate_mode = run.dinputs[0].mode},
                                         run.stream);
  }
  bool per_pixel_;
};

class Sam final : public Activated {
 public:
  using Activated::Activated;
  std::string_view kind() const override { return "sam"; }
  Shape infer(std::span<const Shape> inputs) const override {
    if (inputs[0] != inputs[1])
      throw Error(fmt::format("multiplies layers of {}x{}x{} and {}x{}x{}", inputs[0].w, inputs[0].h, inputs[0].c,
                              inputs[1].w, inputs[1].h, inputs[1].c));
    return inputs[0];
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }  // darknet does not count them

 private:
  bool reads_inputs() const override { return true; }
  void combine(const OpRun& run, const Tensor& product) const override {
    run.backend->sam_forward({.a = run.inputs[0], .b = run.inputs[1], .y = product}, run.stream);
  }
  void split(const OpRun& run) const override {
    run.backend->sam_backward({.a = run.inputs[0],
                               .b = run.inputs[1],
                               .dy = run.doutput,
                               .da = run.dinputs[0].tensor,
                               .db = run.dinputs[1].tensor,
                               .da_mode = run.dinputs[0].mode,
                               .db_mode = run.dinputs[1].mode},
                              run.stream);
  }
};

}  // namespace

std::unique_ptr<Op> make_route(int inputs, int groups, int group_id) {
  return std::make_unique<Route>(inputs, groups, group_id);
}
std::unique_ptr<Op> make_shortcut(Activation activation) {
  return std::make_unique<Shortcut>(activation);
}
std::unique_ptr<Op> make_scale_channels(Activation activation, bool per_pixel) {
  return std::make_unique<ScaleChannels>(activation, per_pixel);
}
std::unique_ptr<Op> make_sam(Activation activation) {
  return std::make_unique<Sam>(activation);
}

}  // namespace rook
