// Activations as operations of their own: after a convolution without batch norm, and [activation].
#include "kernels/cpu/activation.h"

#include "kernels/check.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vec.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

template <Activation A, class In, class Out>
void forward(const ActivationForward& args) {
  const RowPlan plan = plan_elements({&args.x, &args.y});
  for_rows(plan, [&](std::int64_t row, std::int64_t width) {
    const In* x = args.x.as<In>() + row * plan.pitch(args.x);
    map(
        width, [](Vec value) { return act<A>(value); }, args.y.as<Out>() + row * plan.pitch(args.y), x);
  });
}

template <Activation A, class T, class G>
void backward(const ActivationBackward& args) {
  const RowPlan plan = plan_elements({&args.x, &args.dy, &args.dx});
  const bool accumulate = args.mode == Grad::accumulate;
  for_rows(plan, [&](std::int64_t row, std::int64_t width) {
    const T* x = args.x.as<T>() + row * plan.pitch(args.x);
    const G* dy = args.dy.as<G>() + row * plan.pitch(args.dy);
    map_gradient(
        accumulate, width, [](Vec value, Vec gradient) { return gradient * dact<A>(value); },
        args.dx.as<G>() + row * plan.pitch(args.dx), x, dy);
  });
}

}  // namespace

void activation_forward(const ActivationForward& args, Stream) {
  check_args(args);
  with_f32_or_bf16("activation_forward", args.x.dtype, args.y.dtype, [&](auto in, auto out) {
    with_activation(args.activation, [&](auto tag) {
      forward<decltype(tag)::value, typename decltype(in)::Type, typename decltype(out)::Type>(args);
    });
  });
}

void activation_backward(const ActivationBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  with_f32_or_bf16("activation_backward", args.x.dtype, args.dy.dtype, [&](auto x, auto gradient) {
    with_activation(args.activation, [&](auto tag) {
      backward<decltype(tag)::value, typename decltype(x)::Type, typename decltype(gradient)::Type>(args);
    });
  });
}

}  // namespace rook::cpu
