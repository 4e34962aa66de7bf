// Softmax over the channels of each group, with temperature (Hinton et al. 2015).
#include <limits>

#include "kernels/check.h"
#include "kernels/cpu/activation.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vec.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

// The largest of the first `lanes` lanes; a NaN if there is one among them.
float largest(Vec value, float so_far, int lanes) {
  for (int i = 0; i < lanes; ++i) {
    if (value[i] > so_far || value[i] != value[i]) so_far = value[i];
  }
  return so_far;
}

// y = exp((x - max) / temperature) / sum of these.
template <class T>
void softmax(const T* x, T* y, std::int64_t count, float temperature) {
  const std::int64_t full = count / kLanes * kLanes;
  const int rest = static_cast<int>(count - full);
  float top = -std::numeric_limits<float>::infinity();
  for (std::int64_t i = 0; i < full; i += kLanes) top = largest(load(x + i), top, kLanes);
  if (rest > 0) top = largest(load_partial(x + full, rest), top, rest);

  const Vec shift = splat<Vec>(top);
  const float scale = 1 / temperature;
  Vec sums = {};
  float last_sum = 0;
  for (std::int64_t i = 0; i < full; i += kLanes) sums += exp_of((load(x + i) - shift) * scale);
  if (rest > 0) {
    const Vec e = exp_of((load_partial(x + full, rest) - shift) * scale);
    for (int i = 0; i < rest; ++i) last_sum += e[i];
  }
  const float normaliser = 1 / (sum_of_lanes(sums) + last_sum);
  map(
      count, [&](Vec value) { return exp_of((value - shift) * scale) * normaliser; }, y, x);
}

// dx (=|+=) y (dy - sum y dy) / temperature.
template <class T>
void softmax_gradient(const T* y, const T* dy, T* dx, std::int64_t count, float temperature, bool accumulate) {
  const std::int64_t full = count / kLanes * kLanes;
  const int rest = static_cast<int>(count - full);
  Vec sums = {};
  for (std::int64_t i = 0; i < full; i += kLanes) sums += load(y + i) * load(dy + i);
  if (rest > 0) sums += load_partial(y + full, rest) * load_partial(dy + full, rest);
  const Vec dot = splat<Vec>(sum_of_lanes(sums));
  const float scale = 1 / temperature;
  map_gradient(
      accumulate, count, [&](Vec value, Vec gradient) { return value * (gradient - dot) * scale; }, dx, y, dy);
}

}  // namespace

void softmax_forward(const SoftmaxForward& args, Stream) {
  check_args(args);
  with_f32_or_bf16("softmax_forward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    const std::int64_t size = args.x.c / args.groups;
    for_rows(plan_rows({&args.x}, 1), [&](std::int64_t pixel, std::int64_t channels) {
      for (std::int64_t c = 0; c < channels; c += size) {
        softmax<T>(args.x.as<T>() + pixel * args.x.pitch + c, args.y.as<T>() + pixel * args.y.pitch + c, size,
                   args.temperature);
      }
    });
  });
}

void softmax_backward(const SoftmaxBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  with_f32_or_bf16("softmax_backward", args.y.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    const std::int64_t size = args.y.c / args.groups;
    for_rows(plan_rows({&args.y}, 1), [&](std::int64_t pixel, std::int64_t channels) {
      for (std::int64_t c = 0; c < channels; c += size) {
        softmax_gradient<T>(args.y.as<T>() + pixel * args.y.pitch + c, args.dy.as<T>() + pixel * args.dy.pitch + c,
                            args.dx.as<T>() + pixel * args.dx.pitch + c, size, args.temperature,
                            args.mode == Grad::accumulate);
      }
    });
  });
}

}  // namespace rook::cpu
