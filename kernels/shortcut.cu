// [shortcut]: the sum of tensors whose channel counts may differ (darknet.md 1.5): only the common channels are added.
#include <array>
#include <vector>

#include "kernels/check.h"
#include "kernels/elementwise.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kMostInputs = 32;  // they travel in the kernel's parameters

// In f32, rounded once.
template <class T>
struct Sum {
  static constexpr int kVector = ROOK_GPU::kVector<T>;
  View<const T> inputs[kMostInputs];  // each [pixels, channels[i]]
  int channels[kMostInputs];          // at most C
  int count;
  View<T> y;  // [pixels, C], may be inputs[0]

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    float sum[N] = {};
    for (int k = 0; k < count; ++k) {
      if (channel >= channels[k]) continue;
      float v[N];
      load_floats<N>(inputs[k].at(pixel, channel), v);
#pragma unroll
      for (int i = 0; i < N; ++i) sum[i] += v[i];
    }
    store_floats<N>(y.at(pixel, channel), sum);
  }
};

template <class T>
struct SumGradient {
  static constexpr int kVector = ROOK_GPU::kVector<T>;
  View<const T> dy;  // [pixels, common at least]
  View<T> dinput;    // [pixels, C_i]
  int common;        // channels
  Grad mode;

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    float gradient[N] = {};
    if (channel < common) load_floats<N>(dy.at(pixel, channel), gradient);
    put_gradient<N>(dinput.at(pixel, channel), gradient, mode);
  }
};

// Channels [0, count) of `t`, or all that it has.
Tensor first_channels(const Tensor& t, int count) {
  return t.channels(0, std::min(t.c, count));
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

void shortcut_forward(const ShortcutForward& args, Stream stream) {
  check_args(args);
  if (args.inputs.size() > kMostInputs)
    throw Error(fmt::format("shortcut_forward: {} inputs are more than {}; add them up in two steps",
                            args.inputs.size(), kMostInputs));
  const LaunchSite site = stream;
  std::vector<Tensor> tensors = {args.y};
  for (const Tensor& input : args.inputs) tensors.push_back(first_channels(input, args.y.c));
  with_storage("shortcut_forward", args.y.dtype, [&](auto storage) {
    using Operation = Sum<typename decltype(storage)::Type>;
    const Plan plan = plan_elements(Operation::kVector, tensors);
    Operation sum{.count = static_cast<int>(args.inputs.size()), .y = view(plan, args.y)};
    for (std::size_t i = 0; i < args.inputs.size(); ++i) {
      sum.inputs[i] = view(plan, tensors[i + 1]);
      sum.channels[i] = plan.flat ? plan.vector : tensors[i + 1].c;
    }
    for_each_element(site, plan, sum);
  });
}

void shortcut_backward(const ShortcutBackward& args, Stream stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const LaunchSite site = stream;
  const int common = std::min(args.dy.c, args.dinput.c);
  const Tensor dy = args.dy.channels(0, common);
  // What dy does not have becomes 0, or stays as it is.
  const Tensor dinput = args.mode == Grad::overwrite ? args.dinput : args.dinput.channels(0, common);
  with_storage("shortcut_backward", dy.dtype, [&](auto storage) {
    using Operation = SumGradient<typename decltype(storage)::Type>;
    const Plan plan = plan_elements(Operation::kVector, {dinput, dy});
    for_each_element(site, plan,
                     Operation{view(plan, dy), view(plan, dinput), plan.flat ? plan.vector : common, args.mode});
  });
}

}  // namespace rook::ROOK_GPU
