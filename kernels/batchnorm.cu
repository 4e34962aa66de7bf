// Batch norm with the activation fused (darknet.md 2.3; Ioffe, Szegedy 2015): x^ = (z - mean) inv_std,
// y = act(gamma x^ + beta). Memory-bound: forward reads z twice and writes y once, backward reads z and dy twice and
// writes dz once. Sums go from threads to blocks in float, from blocks to the channel in double, in a fixed order.
#include <algorithm>

#include "kernels/activation.cuh"
#include "kernels/channel_tiles.cuh"
#include "kernels/check.h"
#include "kernels/moments.cuh"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kFinishThreads = 128;  // a warp per channel

// What turns z into the pre-activation: v = (z - mean) scale + beta with scale = gamma inv_std.
struct Normalisation {
  const float* mean;     // [K]
  const float* gamma;    // [K]
  const float* beta;     // [K]
  const float* inv_std;  // [K], or null:
  const float* var;      // [K]
  float eps;
};

// Of the channels of one thread.
template <int N>
struct Normaliser {
  float mean[N], scale[N], beta[N];

  __device__ __forceinline__ Normaliser(const Normalisation& n, int channel) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const int c = channel + i;
      mean[i] = n.mean[c];
      scale[i] = n.gamma[c] * (n.inv_std ? n.inv_std[c] : 1.0f / sqrtf(n.var[c] + n.eps));
      beta[i] = n.beta[c];
    }
  }
};

// ---------------------------------------------------------------------------------------------------- forward

// Moments of each chunk of pixels. A thread shifts its values by the first of them, so that its sums keep their digits
// where |mean| >> std; the threads' means are kept as differences from the first value of the chunk.
template <int N, class T>
__global__ void __launch_bounds__(kTileThreads)
    chunk_moments(View<const T> z /* [pixels, K] */, ChannelTiles tiles, PartialMoments partials) {
  const TilePlace place(tiles);
  const int channel = place.column * N;
  float shift[N] = {}, sum[N] = {}, squares[N] = {};
  if (place.begin < place.end) load_floats<N>(z.at(place.begin, channel), shift);
#pragma unroll 4
  for (std::int64_t pixel = place.begin; pixel < place.end; pixel += place.rows) {
    float value[N];
    load_floats<N>(z.at(pixel, channel), value);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float d = value[i] - shift[i];
      sum[i] += d;
      squares[i] += d * d;
    }
  }
  float base[N] = {};
  if (place.active) load_floats<N>(z.at(place.begin - place.row, channel), base);
  Moments moments[N];
#pragma unroll
  for (int i = 0; i < N; ++i)
    moments[i] = moments_of(shift[i] - base[i], sum[i], squares[i], static_cast<float>(place.count()));
  reduce_rows(place, tiles.tile, moments, block_shared<RowResults<N, Moments>>(), MergeMoments{});
  if (place.active && place.row == 0) {
#pragma unroll
    for (int i = 0; i < N; ++i)
      partials.of[std::int64_t{channel + i} * partials.blocks + blockIdx.y] = {base[i], moments[i].mean,
                                                                               moments[i].deviations};
  }
}

struct Statistics {
  float* mean;          // [K] out
  float* inv_std;       // [K] out
  float* running_mean;  // [K] updated
  float* running_var;   // [K] updated
  float momentum, eps;
};

// One warp per channel: mean = sum of n_b mean_b / pixels, deviations = sum of deviations_b + n_b (mean_b - mean)^2.
__global__ void __launch_bounds__(kFinishThreads)
    finish_moments(PartialMoments partials, std::int64_t pixels, int channels, Statistics out) {
  const int channel = static_cast<int>(blockIdx.x) * (kFinishThreads / kWarp) + warp();
  const bool active = channel < channels;
  const PartialMoments::Part* of = partials.of + std::int64_t{active ? channel : 0} * partials.blocks;
  const auto mean_of = [&](int b) { return double{of[b].shift} + of[b].mean; };
  const auto count = [&](int b) {
    return static_cast<double>(min(partials.pixels_per_block, pixels - b * partials.pixels_per_block));
  };
  double mean = 0, deviations = 0;
  for (int b = lane(); b < partials.blocks; b += kWarp) mean += count(b) * mean_of(b);
  mean = warp_sum(mean) / static_cast<double>(pixels);
  for (int b = lane(); b < partials.blocks; b += kWarp) {
    const double delta = mean_of(b) - mean;
    deviations += of[b].deviations + count(b) * delta * delta;
  }
  deviations = warp_sum(deviations);
  if (!active || lane() != 0) return;  // nothing is waited for below

  out.mean[channel] = static_cast<float>(mean);
  out.inv_std[channel] = static_cast<float>(1 / sqrt(deviations / static_cast<double>(pixels) + out.eps));
  // One pixel has no unbiased variance; its biased one, 0, stands in.
  const double unbiased = deviations / static_cast<double>(pixels > 1 ? pixels - 1 : 1), momentum = out.momentum;
  out.running_mean[channel] = static_cast<float>((1 - momentum) * out.running_mean[channel] + momentum * mean);
  out.running_var[channel] = static_cast<float>((1 - momentum) * out.running_var[channel] + momentum * unbiased);
}

// y = act(v); y may be z.
template <int N, class In, class Out>
__global__ void __launch_bounds__(kTileThreads)
    normalise(View<const In> z /* [pixels, K] */, View<Out> y /* [pixels, K] */, ChannelTiles tiles,
              Normalisation normalisation, Activation activation) {
  const TilePlace place(tiles);
  if (!place.active) return;  // there are no barriers
  const int channel = place.column * N;
  const Normaliser<N> n(normalisation, channel);
#pragma unroll 2
  for (std::int64_t pixel = place.begin; pixel < place.end; pixel += place.rows) {
    float v[N];
    load_floats<N>(z.at(pixel, channel), v);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = (v[i] - n.mean[i]) * n.scale[i] + n.beta[i];
    activate(activation, v);
    store_floats<N>(y.at(pixel, channel), v);
  }
}

// ---------------------------------------------------------------------------------------------------- backward

template <class T>
struct Gradients {
  View<const T> z;   // [pixels, K]
  View<const T> dy;  // [pixels, K]
  Normalisation normalisation;
  Activation activation;

  // dv = dy act'(v), and z - mean.
  template <int N>
  __device__ __forceinline__ void load(const Normaliser<N>& n, std::int64_t pixel, int channel, float (&dv)[N],
                                       float (&centred)[N]) const {
    float v[N];
    load_floats<N>(z.at(pixel, channel), centred);
    load_floats<N>(dy.at(pixel, channel), dv);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      centred[i] -= n.mean[i];
      v[i] = centred[i] * n.scale[i] + n.beta[i];
    }
    multiply_by_slope(activation, v, dv);
  }
};

struct AddPairs {
  __device__ __forceinline__ void operator()(float2& into, const float2& other) const {
    into.x += other.x;
    into.y += other.y;
  }
};

// Sums of dv and of dv (z - mean) over each chunk of pixels.
template <int N, class T>
__global__ void __launch_bounds__(kTileThreads)
    chunk_gradients(Gradients<T> gradients, ChannelTiles tiles, float2* partials /* [K, chunks] */) {
  const TilePlace place(tiles);
  const int channel = place.active ? place.column * N : 0;
  const Normaliser<N> n(gradients.normalisation, channel);
  float2 sums[N] = {};
  for (std::int64_t pixel = place.begin; pixel < place.end; pixel += place.rows) {
    float dv[N], centred[N];
    gradients.load(n, pixel, channel, dv, centred);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      sums[i].x += dv[i];
      sums[i].y += dv[i] * centred[i];
    }
  }
  reduce_rows(place, tiles.tile, sums, block_shared<RowResults<N, float2>>(), AddPairs{});
  if (place.active && place.row == 0) {
#pragma unroll
    for (int i = 0; i < N; ++i) partials[std::int64_t{channel + i} * tiles.chunks + blockIdx.y] = sums[i];
  }
}

// The means are functions of z too: dz = gamma inv_std (dv - mean(dv) - x^ mean(dv x^))
//                                      = scale dv - offset - slope (z - mean).
struct GradientSums {
  const float* gamma;    // [K]
  const float* inv_std;  // [K]
  float* dgamma;         // [K] accumulated
  float* dbeta;          // [K] accumulated
  float2* through;       // [K] out: offset, slope
};

// One warp per channel.
__global__ void __launch_bounds__(kFinishThreads)
    finish_gradients(const float2* partials /* [K, chunks] */, int chunks, std::int64_t pixels, int channels,
                     GradientSums out) {
  const int channel = static_cast<int>(blockIdx.x) * (kFinishThreads / kWarp) + warp();
  const bool active = channel < channels;
  const float2* of = partials + std::int64_t{active ? channel : 0} * chunks;
  double sum = 0, sum_with_z = 0;
  for (int b = lane(); b < chunks; b += kWarp) {
    sum += of[b].x;
    sum_with_z += of[b].y;
  }
  sum = warp_sum(sum);
  sum_with_z = warp_sum(sum_with_z);
  if (!active || lane() != 0) return;  // nothing is waited for below

  const double inv_std = out.inv_std[channel], scale = out.gamma[channel] * inv_std;
  out.dbeta[channel] += static_cast<float>(sum);
  out.dgamma[channel] += static_cast<float>(sum_with_z * inv_std);
  const double count = static_cast<double>(pixels);
  out.through[channel] = {static_cast<float>(scale * sum / count),
                          static_cast<float>(scale * inv_std * inv_std * sum_with_z / count)};
}

// dz may be dy.
template <int N, class T>
__global__ void __launch_bounds__(kTileThreads) write_gradient(Gradients<T> gradients, View<T> dz /* [pixels, K] */,
                                                               ChannelTiles tiles, const float2* through /* [K] */) {
  const TilePlace place(tiles);
  if (!place.active) return;  // there are no barriers
  const int channel = place.column * N;
  const Normaliser<N> n(gradients.normalisation, channel);
  float offset[N], slope[N];
#pragma unroll
  for (int i = 0; i < N; ++i) {
    offset[i] = through[channel + i].x;
    slope[i] = through[channel + i].y;
  }
  for (std::int64_t pixel = place.begin; pixel < place.end; pixel += place.rows) {
    float dv[N], centred[N];
    gradients.load(n, pixel, channel, dv, centred);
#pragma unroll
    for (int i = 0; i < N; ++i) dv[i] = dv[i] * n.scale[i] - offset[i] - slope[i] * centred[i];
    store_floats<N>(dz.at(pixel, channel), dv);
  }
}

// ---------------------------------------------------------------------------------------------------- planning

// Pixels per partial sum: sixteen for each thread of a block that reads vectors of 16-bit elements, more where there
// would be more blocks than are of use. Depends on the shape alone, and so do the results.
std::int64_t pixels_per_sum(const Tensor& z) {
  constexpr int kColumns = 256, kElements = 16 * 8 * kTileThreads, kMostBlocks = 1024;
  const std::int64_t least = kElements / std::min(z.c, kColumns);
  const int most = std::max(1, kMostBlocks / ceil_divide(z.c, kColumns));
  return std::max<std::int64_t>(least, ceil_divide(z.pixels(), most));
}

ChannelTiles plan_sums(const Tensor& z, int vector) {
  return plan_tiles(z.pixels(), z.c, vector, pixels_per_sum(z));
}

std::size_t partial_sums(const Tensor& z) {
  return static_cast<std::size_t>(ceil_divide(z.pixels(), pixels_per_sum(z))) * static_cast<std::size_t>(z.c);
}

Grid finish_grid(int channels) {
  return {.blocks = blocks_for(channels, kFinishThreads / kWarp, channels), .threads = kFinishThreads};
}

void launch_normalise(const LaunchSite& site, const char* operation, const Tensor& z, const Tensor& y,
                      const Normalisation& normalisation, Activation activation) {
  with_storage(operation, z.dtype, y.dtype, [&](auto in, auto out) {
    using In = typename decltype(in)::Type;
    using Out = typename decltype(out)::Type;
    constexpr int kVectors = kCommonVector<In, Out>;
    const int vector = vector_of(kVectors, {z, y});
    const ChannelTiles tiles = plan_writes(z.pixels(), z.c, vector);
    const auto kernel = vector == 1 ? normalise<1, In, Out> : normalise<kVectors, In, Out>;
    launch(site, grid_of(tiles), kernel, view<const In>(z), view<Out>(y), tiles, normalisation, activation);
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------- launchers

std::size_t batchnorm_forward_workspace(const BatchNormForward& args) {
  return partial_sums(args.z) * sizeof(PartialMoments::Part);
}

void batchnorm_forward(const BatchNormForward& args, Stream stream) {
  check_args(args);
  check_activation(args.activation);
  check(args.workspace != nullptr, "batchnorm_forward", "there is no workspace");
  const LaunchSite site = stream;
  const Tensor& z = args.z;
  const PartialMoments partials{static_cast<PartialMoments::Part*>(args.workspace),
                                ceil_divide(z.pixels(), pixels_per_sum(z)), pixels_per_sum(z)};
  with_storage("batchnorm_forward", z.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    const int vector = vector_of(kVector<T>, {z});
    const ChannelTiles tiles = plan_sums(z, vector);
    const auto kernel = vector == 1 ? chunk_moments<1, T> : chunk_moments<kVector<T>, T>;
    launch(site, grid_of(tiles), kernel, view<const T>(z), tiles, partials);
  });
  launch(site, finish_grid(z.c), finish_moments, partials, z.pixels(), z.c,
         Statistics{args.mean, args.inv_std, args.running_mean, args.running_var, args.momentum, args.eps});
  launch_normalise(site, "batchnorm_forward", z, args.y,
                   {.mean = args.mean, .gamma = args.gamma, .beta = args.beta, .inv_std = args.inv_std},
                   args.activation);
}

void batchnorm_inference(const BatchNormInference& args, Stream stream) {
  check_args(args);
  check_activation(args.activation);
  launch_normalise(stream, "batchnorm_inference", args.z, args.y,
                   {.mean = args.running_mean,
                    .gamma = args.gamma,
                    .beta = args.beta,
                    .inv_std = nullptr,
                    .var = args.running_var,
                    .eps = args.eps},
                   args.activation);
}

std::size_t batchnorm_backward_workspace(const BatchNormBackward& args) {
  return (partial_sums(args.z) + static_cast<std::size_t>(args.z.c)) * sizeof(float2);
}

void batchnorm_backward(const BatchNormBackward& args, Stream stream) {
  check_args(args);
  check_activation(args.activation);
  check(args.workspace != nullptr, "batchnorm_backward", "there is no workspace");
  const LaunchSite site = stream;
  const Tensor& z = args.z;
  float2* through = static_cast<float2*>(args.workspace);  // [K]
  float2* partials = through + z.c;                        // [K, chunks]
  with_storage("batchnorm_backward", z.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    const int vector = vector_of(kVector<T>, {z, args.dy, args.dz});
    const Gradients<T> gradients{view<const T>(z),
                                 view<const T>(args.dy),
                                 {.mean = args.mean, .gamma = args.gamma, .beta = args.beta, .inv_std = args.inv_std},
                                 args.activation};
    const ChannelTiles sums = plan_sums(z, vector), writes = plan_writes(z.pixels(), z.c, vector);
    launch(site, grid_of(sums), vector == 1 ? chunk_gradients<1, T> : chunk_gradients<kVector<T>, T>, gradients, sums,
           partials);
    launch(site, finish_grid(z.c), finish_gradients, partials, sums.chunks, z.pixels(), z.c,
           GradientSums{args.gamma, args.inv_std, args.dgamma, args.dbeta, through});
    launch(site, grid_of(writes), vector == 1 ? write_gradient<1, T> : write_gradient<kVector<T>, T>, gradients,
           view<T>(args.dz), writes, through);
  });
}

}  // namespace rook::ROOK_GPU
