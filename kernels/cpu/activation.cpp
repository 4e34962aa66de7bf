// Activations as operations of their own: after a convolution without batch norm, and [activation].
#include "kernels/cpu/activation.h"

#include "kernels/check.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vec.h"
#include "kernels/storage.h"

namespace rook::cpu {
namespace {

template <class Act, class In, class Out>
void forward(Act act, const ActivationForward& args) {
  const RowPlan plan = plan_elements({&args.x, &args.y});
  for_rows(plan, [&](std::int64_t row, std::int64_t width) {
    const In* x = args.x.as<In>() + row * plan.pitch(args.x);
    map(
        width, [act](Vec x_value) { return act.value(x_value); }, args.y.as<Out>() + row * plan.pitch(args.y), x);
  });
}

template <class Act, class T, class G>
void backward(Act act, const ActivationBackward& args) {
  const RowPlan plan = plan_elements({&args.x, &args.dy, &args.dx});
  const bool accumulate = args.mode == Grad::accumulate;
  for_rows(plan, [&](std::int64_t row, std::int64_t width) {
    const T* x = args.x.as<T>() + row * plan.pitch(args.x);
    const G* dy = args.dy.as<G>() + row * plan.pitch(args.dy);
    map_gradient(
        accumulate, width, [act](Vec x_value, Vec gradient) { return gradient * act.slope(x_value); },
        args.dx.as<G>() + row * plan.pitch(args.dx), x, dy);
  });
}

}  // namespace

Vec RareActivation::value(const Vec& x) const {
  Vec y = x;
  visit_activation(activation, [&](auto tag) { y = act<decltype(tag)::value>(x); });
  return y;
}

Vec RareActivation::slope(const Vec& x) const {
  Vec y = x;
  visit_activation(activation, [&](auto tag) { y = dact<decltype(tag)::value>(x); });
  return y;
}

void activation_forward(const ActivationForward& args, Stream) {
  check_args(args);
  with_f32_or_bf16("activation_forward", args.x.dtype, args.y.dtype, [&](auto in, auto out) {
    with_activation(args.activation, [&](auto act) {
      forward<decltype(act), typename decltype(in)::Type, typename decltype(out)::Type>(act, args);
    });
  });
}

void activation_backward(const ActivationBackward& args, Stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  with_f32_or_bf16("activation_backward", args.x.dtype, args.dy.dtype, [&](auto x, auto gradient) {
    with_activation(args.activation, [&](auto act) {
      backward<decltype(act), typename decltype(x)::Type, typename decltype(gradient)::Type>(act, args);
    });
  });
}

}  // namespace rook::cpu
