// [scale_channels], squeeze-excitation (Hu et al. 2018): each channel of an image, or each pixel, times a gate.
// dx = dy gate; dgate is the sum of x dy over what the gate belongs to, in a fixed order.
#include "kernels/channel_tiles.cuh"
#include "kernels/check.h"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU {
namespace {

// out (=|+=) in gate with a gate per pixel.
template <class T>
struct ScalePixels {
  static constexpr int kVector = ROOK_GPU::kVector<T>;
  View<const T> in;    // [pixels, C]
  View<const T> gate;  // [pixels, 1]
  View<T> out;         // [pixels, C], may be in
  Grad mode;

  template <int N>
  __device__ void run(std::int64_t pixel, int channel) const {
    const float factor = to_float(*gate.at(pixel, 0));
    float v[N];
    load_floats<N>(in.at(pixel, channel), v);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] *= factor;
    put_gradient<N>(out.at(pixel, channel), v, mode);
  }
};

// The same with a gate per channel of an image; images along blockIdx.z.
template <int N, class T>
__global__ void __launch_bounds__(kTileThreads)
    scale_images(View<const T> in /* [images, area, C] */, View<const T> gate /* [images, C] */,
                 View<T> out /* [images, area, C] */, ChannelTiles area, int images, Grad mode) {
  const TilePlace place(area);
  if (!place.active) return;  // there are no barriers
  const int channel = place.column * N;
  for (int image = static_cast<int>(blockIdx.z); image < images; image += static_cast<int>(gridDim.z)) {
    const std::int64_t first = image * area.pixels;
    float factor[N];
    load_floats<N>(gate.at(image, channel), factor);
#pragma unroll 2
    for (std::int64_t pixel = place.begin; pixel < place.end; pixel += place.rows) {
      float v[N];
      load_floats<N>(in.at(first + pixel, channel), v);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] *= factor[i];
      put_gradient<N>(out.at(first + pixel, channel), v, mode);
    }
  }
}

// dgate[n,h,w] (=|+=) sum over c of x dy: a warp per pixel.
template <int N, class T>
__global__ void __launch_bounds__(kTileThreads)
    pixel_gate_gradient(View<const T> x /* [pixels, C] */, View<const T> dy /* [pixels, C] */,
                        View<T> dgate /* [pixels, 1] */, std::int64_t pixels, int channels, Grad mode) {
  const std::int64_t warps = grid_threads() / kWarp;
  for (std::int64_t pixel = global_thread() / kWarp; pixel < pixels; pixel += warps) {
    float sum[1] = {};
    for (int c = lane() * N; c < channels; c += kWarp * N) {
      float value[N], gradient[N];
      load_floats<N>(x.at(pixel, c), value);
      load_floats<N>(dy.at(pixel, c), gradient);
#pragma unroll
      for (int i = 0; i < N; ++i) sum[0] += value[i] * gradient[i];
    }
    sum[0] = warp_sum(sum[0]);
    if (lane() == 0) put_gradient(dgate.at(pixel, 0), sum, mode);
  }
}

// dgate[n,c] (=|+=) sum over the pixels of image n of x dy: a block per few channels; images along blockIdx.z.
template <int N, class T>
__global__ void __launch_bounds__(kTileThreads)
    channel_gate_gradient(View<const T> x /* [images, area, C] */, View<const T> dy /* [images, area, C] */,
                          View<T> dgate /* [images, C] */, ChannelTiles area, int images, Grad mode) {
  const TilePlace place(area);
  const int channel = place.column * N;
  auto& results = block_shared<RowResults<N, float>>();
  for (int image = static_cast<int>(blockIdx.z); image < images; image += static_cast<int>(gridDim.z)) {
    const std::int64_t first = image * area.pixels;
    float sum[N] = {};
    for (std::int64_t pixel = place.begin; pixel < place.end; pixel += place.rows) {
      float value[N], gradient[N];
      load_floats<N>(x.at(first + pixel, channel), value);
      load_floats<N>(dy.at(first + pixel, channel), gradient);
#pragma unroll
      for (int i = 0; i < N; ++i) sum[i] += value[i] * gradient[i];
    }
    reduce_rows(place, area.tile, sum, results, [](float& into, float other) { into += other; });
    if (place.active && place.row == 0) put_gradient(dgate.at(image, channel), sum, mode);
    __syncthreads();  // the next image writes where this one reads
  }
}

// ---------------------------------------------------------------------------------------------------- planning

Grid per_image(Grid grid, int images) {
  constexpr int kMostBlocks = 65535;  // along z
  grid.blocks.z = static_cast<unsigned>(std::min(images, kMostBlocks));
  return grid;
}

// out (=|+=) in gate.
template <class T>
void scale(const LaunchSite& site, const Tensor& in, const Tensor& gate, const Tensor& out, Grad mode) {
  if (is_spatial_gate(in, gate)) {
    const Plan plan = plan_pixels(ScalePixels<T>::kVector, {in, out});
    for_each_element(site, plan, ScalePixels<T>{view(plan, in), view(plan, gate), view(plan, out), mode});
    return;
  }
  const int vector = vector_of(kVector<T>, {in, gate, out});
  const ChannelTiles area = plan_writes(std::int64_t{in.h} * in.w, in.c, vector);
  launch(site, per_image(grid_of(area), in.n), vector == 1 ? scale_images<1, T> : scale_images<kVector<T>, T>,
         view<const T>(in), view<const T>(gate), view<T>(out), area, in.n, mode);
}

template <class T>
void gate_gradient(const LaunchSite& site, const ScaleChannelsBackward& args) {
  const Tensor &x = args.x, &dy = args.dy, &dgate = args.dgate;
  if (is_spatial_gate(x, args.gate)) {
    const int vector = vector_of(kVector<T>, {x, dy});
    const Grid grid{.blocks = blocks_for(x.pixels(), kTileThreads / kWarp, 4096), .threads = kTileThreads};
    launch(site, grid, vector == 1 ? pixel_gate_gradient<1, T> : pixel_gate_gradient<kVector<T>, T>, view<const T>(x),
           view<const T>(dy), view<T>(dgate), x.pixels(), x.c, args.dgate_mode);
    return;
  }
  // Few columns per block: more blocks for small batches, and still whole lines.
  constexpr int kColumns = 8;
  const std::int64_t pixels = std::int64_t{x.h} * x.w;
  const int vector = vector_of(kVector<T>, {x, dy, dgate});
  const ChannelTiles area = plan_tiles(pixels, x.c, vector, pixels, vector == 1 ? 4 * kColumns : kColumns);
  launch(site, per_image(grid_of(area), x.n),
         vector == 1 ? channel_gate_gradient<1, T> : channel_gate_gradient<kVector<T>, T>, view<const T>(x),
         view<const T>(dy), view<T>(dgate), area, x.n, args.dgate_mode);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

void scale_channels_forward(const ScaleChannelsForward& args, Stream stream) {
  check_args(args);
  const LaunchSite site = stream;
  with_storage("scale_channels_forward", args.x.dtype, [&](auto storage) {
    scale<typename decltype(storage)::Type>(site, args.x, args.gate, args.y, Grad::overwrite);
  });
}

void scale_channels_backward(const ScaleChannelsBackward& args, Stream stream) {
  check_args(args);
  const LaunchSite site = stream;
  with_storage("scale_channels_backward", args.x.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    // The gate's gradient first: dx may be dy.
    if (args.dgate_mode != Grad::none) gate_gradient<T>(site, args);
    if (args.dx_mode != Grad::none) scale<T>(site, args.dy, args.gate, args.dx, args.dx_mode);
  });
}

}  // namespace rook::ROOK_GPU
