// [shortcut]: the sum of tensors whose channel counts may differ (darknet.md 1.5): only the common channels are added.
#include <algorithm>

#include "kernels/check.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vec.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

// Any number of inputs: summed in f32, a few channels at a time, and rounded once.
template <class T>
void add_many(std::span<const Tensor> inputs, std::int64_t pixel, std::int64_t channels, T* y) {
  constexpr std::int64_t kChunk = 512;
  float sum[kChunk];
  for (std::int64_t begin = 0; begin < channels; begin += kChunk) {
    const std::int64_t count = std::min(kChunk, channels - begin);
    std::fill_n(sum, count, 0.0f);
    for (const Tensor& input : inputs) {
      const std::int64_t common = std::min(count, input.c - begin);
      if (common <= 0) continue;
      map(common, kAdd, sum, static_cast<const float*>(sum), input.as<T>() + pixel * input.pitch + begin);
    }
    map(
        count, [](Vec value) { return value; }, y + begin, static_cast<const float*>(sum));
  }
}

template <class T>
void forward(const ShortcutForward& args) {
  const Tensor& y = args.y;
  if (args.inputs.size() == 2 && args.inputs[1].c == y.c) {
    const Tensor &a = args.inputs[0], &b = args.inputs[1];
    const RowPlan plan = plan_elements({&y, &a, &b});
    for_rows(plan, [&](std::int64_t row, std::int64_t width) {
      const T* left = a.as<T>() + row * plan.pitch(a);
      const T* right = b.as<T>() + row * plan.pitch(b);
      map(width, kAdd, y.as<T>() + row * plan.pitch(y), left, right);
    });
    return;
  }
  for_rows(plan_rows({&y}, 1), [&](std::int64_t pixel, std::int64_t channels) {
    add_many<T>(args.inputs, pixel, channels, y.as<T>() + pixel * y.pitch);
  });
}

template <class T>
void backward(const ShortcutBackward& args) {
  const Tensor &dy = args.dy, &dinput = args.dinput;
  const int common = std::min(dy.c, dinput.c);
  const Tensor source = dy.channels(0, common), target = dinput.channels(0, common);
  const bool accumulate = args.mode == Grad::accumulate;
  const RowPlan plan = plan_elements({&source, &target});
  for_rows(plan, [&](std::int64_t row, std::int64_t width) {
    T* out = target.as<T>() + row * plan.pitch(target);
    const T* in = source.as<T>() + row * plan.pitch(source);
    map_gradient(
        accumulate, width, [](Vec value) { return value; }, out, in);
    // Channels that dy does not have; `target` is not dense then, so that a row is one pixel.
    if (!accumulate) std::fill(out + width, out + width + (dinput.c - common), T{});
  });
}

}  // namespace

void shortcut_forward(const ShortcutForward& args, Stream) {
  check_args(args);
  with_f32_or_bf16("shortcut_forward", args.y.dtype,
                   [&](auto storage) { forward<typename decltype(storage)::Type>(args); });
}

void shortcut_backward(const ShortcutBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  with_f32_or_bf16("shortcut_backward", args.dy.dtype,
                   [&](auto storage) { backward<typename decltype(storage)::Type>(args); });
}

}  // namespace rook::cpu
