// Inverted dropout, y = x keep / (1 - probability). Element e counts in the dense order (n, h, w, c), whatever the
// pitch; its number is word e mod 4 of the Philox block with slot = low 32 bits of e / 4, draw = high 32 bits of e / 4,
// iteration, stream = (dropout, layer): the CPU's mask, to the bit.
#include "kernels/elementwise.cuh"
#include "kernels/philox.h"
#include "kernels/spatial.h"
#include "kernels/step.h"

namespace rook::ROOK_GPU {
namespace {

__device__ __forceinline__ Uniform4 draw(const Dropout& args, std::int64_t element) {
  const auto block = static_cast<std::uint64_t>(element) / 4;
  return philox_uniform(
      philox(philox_key(args.seed), {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                                     args.iteration, philox_stream(PhiloxUse::dropout, args.layer)}));
}

template <class T>
struct Drop {
  static constexpr int kVector = ROOK_GPU::kVector<T>;
  View<const T> x;  // [pixels, channels]
  View<T> y;        // [pixels, channels], may be x
  int channels;     // of what the walk calls a pixel; a multiple of 4 where vectors are read
  Dropout given;

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    const Dropout args = with_step(given);
    const std::int64_t element = pixel * channels + channel;
    float u[N];
    if constexpr (N == 1) {
      const Uniform4 four = draw(args, element);
      const int word = static_cast<int>(element % 4);
      u[0] = word == 0 ? four.x : word == 1 ? four.y : word == 2 ? four.z : four.w;
    } else {
#pragma unroll
      for (int i = 0; i < N; i += 4) {
        const Uniform4 four = draw(args, element + i);
        u[i] = four.x;
        u[i + 1] = four.y;
        u[i + 2] = four.z;
        u[i + 3] = four.w;
      }
    }
    float v[N];
    load_floats<N>(x.at(pixel, channel), v);
    const float kept = 1 / (1 - args.probability);
    // A dropped element becomes 0 even when it is infinite or NaN.
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = u[i] >= args.probability ? v[i] * kept : 0;
    put_gradient<N>(y.at(pixel, channel), v, args.mode);
  }
};

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

void dropout(const Dropout& args, Stream stream) {
  check_args(args);
  if (args.mode == Grad::none) return;
  const LaunchSite site = stream;
  with_storage("dropout", args.x.dtype, [&](auto storage) {
    using Operation = Drop<typename decltype(storage)::Type>;
    const Plan plan = plan_elements(Operation::kVector, {args.x, args.y});
    for_each_element(site, plan,
                     Operation{view(plan, args.x), view(plan, args.y), plan.flat ? plan.vector : args.x.c, args});
  });
}

}  // namespace rook::ROOK_GPU
