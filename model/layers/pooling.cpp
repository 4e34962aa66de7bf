// [maxpool], [local_avgpool], [avgpool], [upsample], [reorg], [reorg3d].
#include <fmt/format.h>
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/legacy_reorg.h"
#include "kernels/spatial.h"
#include "model/layers/layers.h"

namespace rook {
namespace {

Shape pooled(const PoolGeometry& g, Shape x) {
  if (x.h + g.padding < g.size_h || x.w + g.padding < g.size_w)
    throw Error(fmt::format("its {}x{} window is larger than the {}x{} input", g.size_w, g.size_h, x.w, x.h));
  return {g.out_h(x.h), g.out_w(x.w), x.c};
}

double window_flops(const PoolGeometry& g, Shape y) {
  return static_cast<double>(g.size_h) * g.size_w * static_cast<double>(y.elements());
}

Window window_of(const PoolGeometry& g, const Window& y) {
  const int offset = pool_offset(g);
  return {y.left * g.stride_w - offset, y.top * g.stride_h - offset, y.right * g.stride_w - offset + g.size_w - 1,
          y.bottom * g.stride_h - offset + g.size_h - 1};
}

// Rounded down also below zero.
int floor_of(int value, int divisor) {
  return value >= 0 ? value / divisor : -((divisor - 1 - value) / divisor);
}

Window enlarged(const Window& y, int stride) {
  return {y.left * stride, y.top * stride, y.right * stride + stride - 1, y.bottom * stride + stride - 1};
}

Window reduced(const Window& y, int stride) {
  return {floor_of(y.left, stride), floor_of(y.top, stride), floor_of(y.right, stride), floor_of(y.bottom, stride)};
}

class MaxPool final : public Op {
 public:
  explicit MaxPool(const PoolGeometry& geometry) : geometry_(geometry) {}
  std::string_view kind() const override { return "maxpool"; }
  Shape infer(std::span<const Shape> inputs) const override { return pooled(geometry_, inputs[0]); }
  OpNeeds needs(const OpProblem& problem) const override {
    return {.saved =
                problem.training ? static_cast<std::size_t>(problem.output.elements()) * sizeof(std::uint16_t) : 0};
  }
  void forward(const OpRun& run) const override {
    run.backend->maxpool_forward(
        {.geometry = geometry_, .x = run.inputs[0], .y = run.output, .taps = run.training ? taps(run) : nullptr},
        run.stream);
  }
  void backward(const OpRun& run) const override {
    run.backend->maxpool_backward({.geometry = geometry_,
                                   .dy = run.doutput,
                                   .dx = run.dinputs[0].tensor,
                                   .taps = taps(run),
                                   .mode = run.dinputs[0].mode},
                                  run.stream);
  }
  Window reads(std::size_t, const Window& y, std::span<const Shape>) const override { return window_of(geometry_, y); }
  double flops(std::span<const Shape>, Shape y) const override { return window_flops(geometry_, y); }

 private:
  static std::uint16_t* taps(const OpRun& run) { return reinterpret_cast<std::uint16_t*>(run.saved); }
  PoolGeometry geometry_;
};

class LocalAvgPool final : public Op {
 public:
  explicit LocalAvgPool(const PoolGeometry& geometry) : geometry_(geometry) {}
  std::string_view kind() const override { return "local_avgpool"; }
  Shape infer(std::span<const Shape> inputs) const override { return pooled(geometry_, inputs[0]); }
  void forward(const OpRun& run) const override {
    run.backend->local_avgpool_forward({.geometry = geometry_, .x = run.inputs[0], .y = run.output}, run.stream);
  }
  void backward(const OpRun& run) const override {
    run.backend->local_avgpool_backward(
        {.geometry = geometry_, .dy = run.doutput, .dx = run.dinputs[0].tensor, .mode = run.dinputs[0].mode},
        run.stream);
  }
  Window reads(std::size_t, const Window& y, std::span<const Shape>) const override { return window_of(geometry_, y); }
  double flops(std::span<const Shape>, Shape y) const override { return window_flops(geometry_, y); }

 private:
  PoolGeometry geometry_;
};

class AvgPool final : public Op {
 public:
  std::string_view kind() const override { return "avgpool"; }
  Shape infer(std::span<const Shape> inputs) const override { return {1, 1, inputs[0].c}; }
  void forward(const OpRun& run) const override {
    run.backend->avgpool_forward({.x = run.inputs[0], .y = run.output}, run.stream);
  }
  void backward(const OpRun& run) const override {
    run.backend->avgpool_backward({.dy = run.doutput, .dx = run.dinputs[0].tensor, .mode = run.dinputs[0].mode},
                                  run.stream);
  }
  Window reads(std::size_t, const Window&, std::span<const Shape> inputs) const override {
    return {0, 0, inputs[0].w - 1, inputs[0].h - 1};
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }
};

class Upsample final : public Op {
 public:
  Upsample(int stride, float scale) : stride_(stride), scale_(scale) {
    if (stride < 1) throw Error(fmt::format("stride={}: upsampling by less than 1 is not supported", stride));
  }
  std::string_view kind() const override { return "upsample"; }
  Shape infer(std::span<const Shape> inputs) const override {
    return {inputs[0].h * stride_, inputs[0].w * stride_, inputs[0].c};
  }
  void forward(const OpRun& run) const override {
    run.backend->upsample_forward({.x = run.inputs[0], .y = run.output, .stride = stride_, .scale = scale_},
                                  run.stream);
  }
  void backward(const OpRun& run) const override {
    run.backend->upsample_backward({.dy = run.doutput,
                                    .dx = run.dinputs[0].tensor,
                                    .stride = stride_,
                                    .scale = scale_,
                                    .mode = run.dinputs[0].mode},
                                   run.stream);
  }
  Window reads(std::size_t, const Window& y, std::span<const Shape>) const override { return reduced(y, stride_); }
  double flops(std::span<const Shape>, Shape) const override { return 0; }

 private:
  int stride_;
  float scale_;
};

class ReorgLayer final : public Op {
 public:
  ReorgLayer(int stride, bool legacy, bool reverse) : stride_(stride), legacy_(legacy), reverse_(reverse) {}
  std::string_view kind() const override { return legacy_ ? "reorg" : "reorg3d"; }
  Shape infer(std::span<const Shape> inputs) const override {
    const Shape x = inputs[0];
    const int square = stride_ * stride_;
    if (reverse_) {
      if (x.c % square)
        throw Error(fmt::format("stride={}: {} channels cannot be spread over {} pixels", stride_, x.c, square));
      return {x.h * stride_, x.w * stride_, x.c / square};
    }
    if (x.h % stride_ || x.w % stride_ || (legacy_ && x.c % square))
      throw Error(fmt::format("stride={} does not divide the {}x{}x{} input", stride_, x.w, x.h, x.c));
    return {x.h / stride_, x.w / stride_, x.c * square};
  }
  void forward(const OpRun& run) const override {
    run.backend->reorg({.x = run.inputs[0], .y = run.output, .stride = stride_, .legacy = legacy_, .reverse = reverse_},
                       run.stream);
  }
  void backward(const OpRun& run) const override {
    run.backend->reorg({.x = run.doutput,
                        .y = run.dinputs[0].tensor,
                        .stride = stride_,
                        .legacy = legacy_,
                        .reverse = !reverse_,
                        .mode = run.dinputs[0].mode},
                       run.stream);
  }
  Window reads(std::size_t, const Window& y, std::span<const Shape> inputs) const override {
    if (legacy_) return scattered(y, inputs[0]);
    return reverse_ ? reduced(y, stride_) : enlarged(y, stride_);
  }
  double flops(std::span<const Shape>, Shape) const override { return 0; }

 private:
  // darknet's own order puts the pixels of an output's channels far apart.
  Window scattered(const Window& y, Shape x) const {
    const Shape out = infer(std::span(&x, 1));
    const Shape wide = reverse_ ? out : x, deep = reverse_ ? x : out;
    const Tensor extents{.n = 1, .h = wide.h, .w = wide.w, .c = wide.c, .pitch = wide.c};
    Window from{x.w, x.h, -1, -1};
    for (int index = 0; index < static_cast<int>(wide.elements()); ++index) {
      const int wide_pixel = legacy_place(extents, stride_, index).pixel, deep_pixel = index % (deep.h * deep.w);
      const int to = reverse_ ? wide_pixel : deep_pixel, read = reverse_ ? deep_pixel : wide_pixel;
      const int column = to % out.w, row = to / out.w;
      if (column < y.left || column > y.right || row < y.top || row > y.bottom) continue;
      from = {std::min(from.left, read % x.w), std::min(from.top, read / x.w), std::max(from.right, read % x.w),
              std::max(from.bottom, read / x.w)};
    }
    return from;
  }

  int stride_;
  bool legacy_, reverse_;
};

}  // namespace

std::unique_ptr<Op> make_maxpool(const PoolGeometry& geometry) {
  return std::make_unique<MaxPool>(geometry);
}
std::unique_ptr<Op> make_local_avgpool(const PoolGeometry& geometry) {
  return std::make_unique<LocalAvgPool>(geometry);
}
std::unique_ptr<Op> make_avgpool() {
  return std::make_unique<AvgPool>();
}
std::unique_ptr<Op> make_upsample(int stride, float scale) {
  return std::make_unique<Upsample>(stride, scale);
}
std::unique_ptr<Op> make_reorg(int stride, bool legacy, bool reverse) {
  return std::make_unique<ReorgLayer>(stride, legacy, reverse);
}

}  // namespace rook
