#include <fmt/format.h>

#include <string_view>

#include "app/bench/op_cases.h"

namespace rook::app {
namespace {

using test::NhwcCase;
using Run = std::function<void()>;

// The cases of one shape.
class Cases {
 public:
  Cases(std::vector<OpCase>& all, const NhwcCase& shape) : all_(all), s_(shape) {}

  // Adds an operation; `flops` per element of the shape.
  template <class Make>
  OpCase& add(std::string_view op, double flops, Make make) {
    const double elements = static_cast<double>(s_.h) * s_.w * s_.c;
    const NhwcCase s = s_;
    all_.push_back({.op = std::string(op),
                    .shape = fmt::format("{}x{}x{}", s.h, s.w, s.c),
                    .flops = flops * elements,
                    .make = [s, make](OpData& d) -> Run { return make(d, s); }});
    return all_.back();
  }

 private:
  std::vector<OpCase>& all_;
  const NhwcCase& s_;
};

Tensor input(OpData& d, const NhwcCase& s) {
  return d.in(s.h, s.w, s.c, s.in);
}
Tensor output(OpData& d, const NhwcCase& s) {
  return d.out(s.h, s.w, s.c, s.out);
}

// Running estimates that do not make the outputs vanish.
struct Statistics {
  float *gamma, *beta, *mean, *var;
};
Statistics statistics(OpData& d, int k) {
  return {d.in_floats(k, 0.5f, 1.5f), d.in_floats(k), d.in_floats(k, -0.2f, 0.2f), d.in_floats(k, 0.5f, 1.5f)};
}

void add_batchnorm(Cases& cases) {
  cases.add("batchnorm_forward", 9, [](OpData& d, const NhwcCase& s) -> Run {
    const int k = s.c;
    BatchNormForward args{.z = input(d, s),
                          .y = output(d, s),
                          .gamma = d.in_floats(k, 0.5f, 1.5f),
                          .beta = d.in_floats(k),
                          .mean = d.out_floats(k),
                          .inv_std = d.out_floats(k),
                          .running_mean = d.inout_floats(k),
                          .running_var = d.inout_floats(k, 0.5f, 1.5f),
                          .activation = Activation::leaky};
    args.workspace = d.scratch(d.backend().batchnorm_forward_workspace(args));
    d.add_bytes(static_cast<double>(args.z.elements()) * static_cast<double>(size_of(args.z.dtype)));  // read twice
    return [args, &d] { d.backend().batchnorm_forward(args, d.stream()); };
  });
  cases.add("batchnorm_inference", 4, [](OpData& d, const NhwcCase& s) -> Run {
    const Statistics k = statistics(d, s.c);
    const BatchNormInference args{.z = input(d, s),
                                  .y = output(d, s),
                                  .gamma = k.gamma,
                                  .beta = k.beta,
                                  .running_mean = k.mean,
                                  .running_var = k.var,
                                  .activation = Activation::leaky};
    return [args, &d] { d.backend().batchnorm_inference(args, d.stream()); };
  });
  // Sums over a plane: the rounding of a term is of the size of the largest, not of the sum.
  cases
      .add("batchnorm_backward", 16,
           [](OpData& d, const NhwcCase& s) -> Run {
             const Statistics k = statistics(d, s.c);
             BatchNormBackward args{.z = input(d, s),
                                    .dy = input(d, s),
                                    .dz = output(d, s),
                                    .gamma = k.gamma,
                                    .beta = k.beta,
                                    .mean = k.mean,
                                    .inv_std = k.var,
                                    .dgamma = d.inout_floats(s.c),
                                    .dbeta = d.inout_floats(s.c),
                                    .activation = Activation::leaky};
             args.workspace = d.scratch(d.backend().batchnorm_backward_workspace(args));
             d.add_bytes(2.0 * static_cast<double>(args.z.elements()) *
                         static_cast<double>(size_of(args.z.dtype)));  // z and dy are read twice
             return [args, &d] { d.backend().batchnorm_backward(args, d.stream()); };
           })
      .tolerance[0] = 1e-4;
}

void add_elementwise(Cases& cases) {
  for (const Activation activation : {Activation::leaky, Activation::mish}) {
    cases.add(fmt::format("activation_forward {}", name_of(activation)), 1,
              [activation](OpData& d, const NhwcCase& s) -> Run {
                const ActivationForward args{.x = input(d, s), .y = output(d, s), .activation = activation};
                return [args, &d] { d.backend().activation_forward(args, d.stream()); };
              });
    cases.add(fmt::format("activation_backward {}", name_of(activation)), 2,
              [activation](OpData& d, const NhwcCase& s) -> Run {
                const ActivationBackward args{
                    .x = input(d, s), .dy = input(d, s), .dx = output(d, s), .activation = activation};
                return [args, &d] { d.backend().activation_backward(args, d.stream()); };
              });
  }
  cases.add("copy_channels", 0, [](OpData& d, const NhwcCase& s) -> Run {
    const CopyChannels args{.src = input(d, s), .dst = output(d, s)};
    return [args, &d] { d.backend().copy_channels(args, d.stream()); };
  });
  cases.add("fill_channels", 0, [](OpData& d, const NhwcCase& s) -> Run {
    const FillChannels args{.dst = output(d, s), .value = 0.5f};
    return [args, &d] { d.backend().fill_channels(args, d.stream()); };
  });
  cases.add("shortcut_forward", 1, [](OpData& d, const NhwcCase& s) -> Run {
    const std::vector<Tensor> inputs{input(d, s), input(d, s)};
    const Tensor y = output(d, s);
    return [inputs, y, &d] { d.backend().shortcut_forward({.inputs = inputs, .y = y}, d.stream()); };
  });
  cases.add("shortcut_backward", 0, [](OpData& d, const NhwcCase& s) -> Run {
    const ShortcutBackward args{.dy = input(d, s), .dinput = output(d, s)};
    return [args, &d] { d.backend().shortcut_backward(args, d.stream()); };
  });
  cases.add("dropout", 1, [](OpData& d, const NhwcCase& s) -> Run {
    const Dropout args{.x = input(d, s), .y = output(d, s), .seed = 3};
    return [args, &d] { d.backend().dropout(args, d.stream()); };
  });
  cases.add("sam_forward", 1, [](OpData& d, const NhwcCase& s) -> Run {
    const SamForward args{.a = input(d, s), .b = input(d, s), .y = output(d, s)};
    return [args, &d] { d.backend().sam_forward(args, d.stream()); };
  });
  cases.add("sam_backward", 2, [](OpData& d, const NhwcCase& s) -> Run {
    const SamBackward args{
        .a = input(d, s), .b = input(d, s), .dy = input(d, s), .da = output(d, s), .db = output(d, s)};
    return [args, &d] { d.backend().sam_backward(args, d.stream()); };
  });
}

// What needs reductions over pixels or channels.
void add_reducing(Cases& cases) {
  cases.add("scale_channels_forward", 1, [](OpData& d, const NhwcCase& s) -> Run {
    const ScaleChannelsForward args{.x = input(d, s), .gate = d.in(1, 1, s.c), .y = output(d, s)};
    return [args, &d] { d.backend().scale_channels_forward(args, d.stream()); };
  });
  cases
      .add("scale_channels_backward", 3,
           [](OpData& d, const NhwcCase& s) -> Run {
             const ScaleChannelsBackward args{.x = input(d, s),
                                              .gate = d.in(1, 1, s.c),
                                              .dy = input(d, s),
                                              .dx = output(d, s),
                                              .dgate = d.out(1, 1, s.c)};
             return [args, &d] { d.backend().scale_channels_backward(args, d.stream()); };
           })
      .tolerance[0] = 1e-4;
  cases.add("softmax_forward", 4, [](OpData& d, const NhwcCase& s) -> Run {
    const SoftmaxForward args{.x = input(d, s), .y = output(d, s)};
    return [args, &d] { d.backend().softmax_forward(args, d.stream()); };
  });
  cases.add("softmax_backward", 4, [](OpData& d, const NhwcCase& s) -> Run {
    const SoftmaxBackward args{.y = input(d, s), .dy = input(d, s), .dx = output(d, s)};
    return [args, &d] { d.backend().softmax_backward(args, d.stream()); };
  });
  cases.add("normalize_channels_forward", 4, [](OpData& d, const NhwcCase& s) -> Run {
    const NormalizeChannelsForward args{.x = input(d, s), .y = output(d, s)};
    return [args, &d] { d.backend().normalize_channels_forward(args, d.stream()); };
  });
  cases.add("normalize_channels_backward", 6, [](OpData& d, const NhwcCase& s) -> Run {
    const NormalizeChannelsBackward args{.x = input(d, s), .dy = input(d, s), .dx = output(d, s)};
    return [args, &d] { d.backend().normalize_channels_backward(args, d.stream()); };
  });
  cases.add("avgpool_forward", 1, [](OpData& d, const NhwcCase& s) -> Run {
    const AvgPoolForward args{.x = input(d, s), .y = d.out(1, 1, s.c)};
    return [args, &d] { d.backend().avgpool_forward(args, d.stream()); };
  });
  cases.add("avgpool_backward", 1, [](OpData& d, const NhwcCase& s) -> Run {
    const AvgPoolBackward args{.dy = d.in(1, 1, s.c), .dx = output(d, s)};
    return [args, &d] { d.backend().avgpool_backward(args, d.stream()); };
  });
}

void add_spatial(Cases& cases, const NhwcCase& shape) {
  cases.add("upsample_forward", 0, [](OpData& d, const NhwcCase& s) -> Run {
    const UpsampleForward args{.x = input(d, s), .y = d.out(2 * s.h, 2 * s.w, s.c)};
    return [args, &d] { d.backend().upsample_forward(args, d.stream()); };
  });
  cases.add("upsample_backward", 3, [](OpData& d, const NhwcCase& s) -> Run {
    const UpsampleBackward args{.dy = d.in(2 * s.h, 2 * s.w, s.c), .dx = output(d, s)};
    return [args, &d] { d.backend().upsample_backward(args, d.stream()); };
  });
  if (shape.h % 2 || shape.w % 2) return;
  cases.add("reorg", 0, [](OpData& d, const NhwcCase& s) -> Run {
    const Reorg args{.x = d.in(s.h, s.w, s.c), .y = d.out(s.h / 2, s.w / 2, 4 * s.c)};
    return [args, &d] { d.backend().reorg(args, d.stream()); };
  });
}

void add_pools(std::vector<OpCase>& all, const test::PoolingCase& k) {
  const PoolGeometry g = k.geometry;
  const int p = g.out_h(k.h), q = g.out_w(k.w);
  const double flops = static_cast<double>(g.size_h) * g.size_w * p * q * k.c;
  const auto add = [&](const char* op, auto make) {
    all.push_back({.op = op,
                   .shape = fmt::format("{}x{}x{}, {}x{}/{}", k.h, k.w, k.c, g.size_h, g.size_w, g.stride_h),
                   .flops = flops,
                   .make = make});
  };
  add("maxpool_forward", [=](OpData& d) -> Run {
    const MaxPoolForward args{.geometry = g,
                              .x = d.in(k.h, k.w, k.c),
                              .y = d.out(p, q, k.c),
                              .taps = d.out_taps(std::int64_t{d.batch()} * p * q * k.c)};
    return [args, &d] { d.backend().maxpool_forward(args, d.stream()); };
  });
  add("maxpool_forward, inference", [=](OpData& d) -> Run {
    const MaxPoolForward args{.geometry = g, .x = d.in(k.h, k.w, k.c), .y = d.out(p, q, k.c)};
    return [args, &d] { d.backend().maxpool_forward(args, d.stream()); };
  });
  add("maxpool_backward", [=](OpData& d) -> Run {
    // The taps of a forward run that is not timed.
    const Tensor x = d.in(k.h, k.w, k.c), dy = d.in(p, q, k.c), dx = d.out(k.h, k.w, k.c);
    Tensor y = dy;
    y.data = d.scratch(static_cast<std::size_t>(y.elements()) * size_of(y.dtype));
    std::uint16_t* const taps = static_cast<std::uint16_t*>(d.scratch(static_cast<std::size_t>(y.elements()) * 2));
    d.backend().maxpool_forward({.geometry = g, .x = x, .y = y, .taps = taps}, d.stream());
    d.add_bytes(static_cast<double>(y.elements()) * 2 - static_cast<double>(x.elements() * size_of(x.dtype)));
    const MaxPoolBackward args{.geometry = g, .dy = dy, .dx = dx, .taps = taps};
    return [args, &d] { d.backend().maxpool_backward(args, d.stream()); };
  });
  add("local_avgpool_forward", [=](OpData& d) -> Run {
    const LocalAvgPoolForward args{.geometry = g, .x = d.in(k.h, k.w, k.c), .y = d.out(p, q, k.c)};
    return [args, &d] { d.backend().local_avgpool_forward(args, d.stream()); };
  });
  add("local_avgpool_backward", [=](OpData& d) -> Run {
    const LocalAvgPoolBackward args{.geometry = g, .dy = d.in(p, q, k.c), .dx = d.out(k.h, k.w, k.c)};
    return [args, &d] { d.backend().local_avgpool_backward(args, d.stream()); };
  });
}

}  // namespace

std::vector<OpCase> layer_cases() {
  std::vector<OpCase> all;
  for (const NhwcCase& shape : test::kNhwcCases) {
    if (!shape.bench) continue;
    Cases cases(all, shape);
    add_batchnorm(cases);
    add_elementwise(cases);
    add_reducing(cases);
    add_spatial(cases, shape);
  }
  for (const test::PoolingCase& pool : test::kPoolingCases)
    if (pool.bench) add_pools(all, pool);
  return all;
}

}  // namespace rook::app
