// [sam], spatial attention as darknet has it: y = a b, element by element; da = dy b, db = dy a.
#include "kernels/check.h"
#include "kernels/elementwise.cuh"

namespace rook::ROOK_GPU {
namespace {

template <class T>
struct Product {
  static constexpr int kVector = ROOK_GPU::kVector<T>;
  View<const T> a;  // [pixels, C]
  View<const T> b;  // [pixels, C]
  View<T> y;        // [pixels, C]

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    float left[N], right[N];
    load_floats<N>(a.at(pixel, channel), left);
    load_floats<N>(b.at(pixel, channel), right);
#pragma unroll
    for (int i = 0; i < N; ++i) left[i] *= right[i];
    store_floats<N>(y.at(pixel, channel), left);
  }
};

// Both gradients at once: dy is read once.
template <class T>
struct ProductGradient {
  static constexpr int kVector = ROOK_GPU::kVector<T>;
  View<const T> a;   // [pixels, C]
  View<const T> b;   // [pixels, C]
  View<const T> dy;  // [pixels, C]
  View<T> da;        // [pixels, C]
  View<T> db;        // [pixels, C]
  Grad da_mode, db_mode;

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    float gradient[N];
    load_floats<N>(dy.at(pixel, channel), gradient);
    if (da_mode != Grad::none) put_product(da.at(pixel, channel), gradient, b.at(pixel, channel), da_mode);
    if (db_mode != Grad::none) put_product(db.at(pixel, channel), gradient, a.at(pixel, channel), db_mode);
  }

 private:
  template <int N>
  static __device__ __forceinline__ void put_product(T* to, const float (&gradient)[N], const T* other, Grad mode) {
    float product[N];
    load_floats<N>(other, product);
#pragma unroll
    for (int i = 0; i < N; ++i) product[i] *= gradient[i];
    put_gradient<N>(to, product, mode);
  }
};

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

void sam_forward(const SamForward& args, Stream stream) {
  check_args(args);
  const LaunchSite site = stream;
  with_storage("sam_forward", args.a.dtype, [&](auto storage) {
    using Operation = Product<typename decltype(storage)::Type>;
    const Plan plan = plan_elements(Operation::kVector, {args.a, args.b, args.y});
    for_each_element(site, plan, Operation{view(plan, args.a), view(plan, args.b), view(plan, args.y)});
  });
}

void sam_backward(const SamBackward& args, Stream stream) {
  check_args(args);
  if (args.da_mode == Grad::none && args.db_mode == Grad::none) return;
  const LaunchSite site = stream;
  // A gradient that is not wanted has no tensor: dy's shape stands in.
  const Tensor& da = args.da_mode == Grad::none ? args.dy : args.da;
  const Tensor& db = args.db_mode == Grad::none ? args.dy : args.db;
  with_storage("sam_backward", args.a.dtype, [&](auto storage) {
    using Operation = ProductGradient<typename decltype(storage)::Type>;
    const Plan plan = plan_elements(Operation::kVector, {args.a, args.b, args.dy, da, db});
    for_each_element(site, plan,
                     Operation{view(plan, args.a), view(plan, args.b), view(plan, args.dy), view(plan, da),
                               view(plan, db), args.da_mode, args.db_mode});
  });
}

}  // namespace rook::ROOK_GPU
