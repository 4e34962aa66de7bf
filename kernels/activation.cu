// Activations as operations of their own: y = act(x), dx = dy act'(x) (darknet.md 4).
#include "kernels/activation.cuh"

#include "kernels/check.h"
#include "kernels/elementwise.cuh"

namespace rook::ROOK_GPU {
namespace {

template <class In, class Out>
struct Activate {
  static constexpr int kVector = kCommonVector<In, Out>;
  View<const In> x;  // [pixels, C]
  View<Out> y;       // [pixels, C]
  Activation activation;

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    float v[N];
    load_floats<N>(x.at(pixel, channel), v);
    activate(activation, v);
    store_floats<N>(y.at(pixel, channel), v);
  }
};

template <class In, class G>
struct ActivationGradient {
  static constexpr int kVector = kCommonVector<In, G>;
  View<const In> x;  // [pixels, C]
  View<const G> dy;  // [pixels, C]
  View<G> dx;        // [pixels, C], may be dy
  Activation activation;
  Grad mode;

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    float v[N], gradient[N];
    load_floats<N>(x.at(pixel, channel), v);
    load_floats<N>(dy.at(pixel, channel), gradient);
    multiply_by_slope(activation, v, gradient);
    put_gradient<N>(dx.at(pixel, channel), gradient, mode);
  }
};

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

void activation_forward(const ActivationForward& args, Stream stream) {
  check_args(args);
  check_activation(args.activation);
  const LaunchSite site = stream;
  with_storage("activation_forward", args.x.dtype, args.y.dtype, [&](auto in, auto out) {
    using Forward = Activate<typename decltype(in)::Type, typename decltype(out)::Type>;
    const Plan plan = plan_elements(Forward::kVector, {args.x, args.y});
    for_each_element(site, plan, Forward{view(plan, args.x), view(plan, args.y), args.activation});
  });
}

void activation_backward(const ActivationBackward& args, Stream stream) {
  check_args(args);
  check_activation(args.activation);
  if (args.mode == Grad::none) return;
  const LaunchSite site = stream;
  with_storage("activation_backward", args.x.dtype, args.dy.dtype, [&](auto in, auto gradient) {
    using Backward = ActivationGradient<typename decltype(in)::Type, typename decltype(gradient)::Type>;
    const Plan plan = plan_elements(Backward::kVector, {args.x, args.dy, args.dx});
    for_each_element(
        site, plan, Backward{view(plan, args.x), view(plan, args.dy), view(plan, args.dx), args.activation, args.mode});
  });
}

}  // namespace rook::ROOK_GPU
