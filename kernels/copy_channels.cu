// dst (=|+=) src between tensors of any pitch and type: routes and their gradients; and dst = value.
#include "kernels/check.h"
#include "kernels/elementwise.cuh"

namespace rook::ROOK_GPU {
namespace {

template <class Src, class Dst>
struct Copy {
  static constexpr int kVector = kCommonVector<Src, Dst>;
  View<const Src> src;  // [pixels, C]
  View<Dst> dst;        // [pixels, C]
  Grad mode;

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    float v[N];
    load_floats<N>(src.at(pixel, channel), v);
    put_gradient<N>(dst.at(pixel, channel), v, mode);
  }
};

template <class T>
struct Fill {
  static constexpr int kVector = ROOK_GPU::kVector<T>;
  View<T> dst;  // [pixels, C]
  float value;

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    float v[N];
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = value;
    store_floats<N>(dst.at(pixel, channel), v);
  }
};

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

void copy_channels(const CopyChannels& args, Stream stream) {
  if (args.mode == Grad::none) return;
  check_args(args);
  const LaunchSite site = stream;
  with_storage("copy_channels", args.src.dtype, args.dst.dtype, [&](auto src, auto dst) {
    using Operation = Copy<typename decltype(src)::Type, typename decltype(dst)::Type>;
    const Plan plan = plan_elements(Operation::kVector, {args.src, args.dst});
    for_each_element(site, plan, Operation{view(plan, args.src), view(plan, args.dst), args.mode});
  });
}

void fill_channels(const FillChannels& args, Stream stream) {
  check_tensor("fill_channels", "dst", args.dst);
  const LaunchSite site = stream;
  with_storage("fill_channels", args.dst.dtype, [&](auto dst) {
    using Operation = Fill<typename decltype(dst)::Type>;
    const Plan plan = plan_elements(Operation::kVector, {args.dst});
    for_each_element(site, plan, Operation{view(plan, args.dst), args.value});
  });
}

}  // namespace rook::ROOK_GPU
