// y = act(y + bias[c]) in place, in f32 arithmetic: what the convolutions of cuBLAS and cuDNN do not fuse.
#include "kernels/bias_activation.h"

#include "kernels/activation.cuh"
#include "kernels/check.h"
#include "kernels/elementwise.cuh"

namespace rook::ROOK_GPU {
namespace {

template <class T>
struct BiasActivation {
  static constexpr int kVector = ROOK_GPU::kVector<T>;
  View<T> y;          // [pixels, C]
  const float* bias;  // [C], at any address
  Activation activation;

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    float v[N];
    load_floats<N>(y.at(pixel, channel), v);
    if (bias) {
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] += bias[channel + i];
    }
    activate(activation, v);
    store_floats<N>(y.at(pixel, channel), v);
  }
};

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

void bias_activation(const Tensor& y, const float* bias, Activation activation, Stream stream) {
  check_tensor("bias_activation", "y", y);
  check_activation(activation);
  if (!bias && activation == Activation::linear) return;
  const LaunchSite site = stream;
  with_storage("bias_activation", y.dtype, [&](auto storage) {
    using Operation = BiasActivation<typename decltype(storage)::Type>;
    const Plan plan = plan_pixels(Operation::kVector, {y});
    for_each_element(site, plan, Operation{view(plan, y), bias, activation});
  });
}

}  // namespace rook::ROOK_GPU
