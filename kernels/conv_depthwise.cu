// The row "depthwise": filter k sees channel k / multiplier alone, multiplier = K / C. Little arithmetic per byte, so
// no shared memory but vectors along the channels: fprop and dgrad gather (kernels/conv_axis.h),
//   out[pixel, channel] = sum over taps of source[pixel moved by the tap, channel] weights[tap, channel],
// and wgrad sums dy times the moved x over pixels in two stages. Weights stay f32 whatever the storage: they are few,
// and deep networks of such layers lose most by rounding them.
#include "kernels/activation_math.h"
#include "kernels/conv_axis.h"
#include "kernels/conv_pack.cuh"
#include "kernels/conv_rows.h"
#include "kernels/conv_sum.cuh"
#include "kernels/conv_tile.cuh"

namespace rook::ROOK_GPU {
namespace conv_depthwise {
namespace {

constexpr int kThreads = 128;
constexpr int kRun = 4;  // outputs along a row, of one phase, that a thread makes: they share their weights

struct DepthwiseGather {
  ConvGeometry geometry;
  bool dgrad;
  int n, source_h, source_w, out_h, out_w;
  int multiplier;
  int out_c, weights_pitch;
  int source_pitch, out_pitch;  // from pixel to pixel
  const float* bias;            // [out_c] or null
  Activation activation;
  Grad mode;

  ROOK_HOST_DEVICE int phases() const { return dgrad ? geometry.stride_h * geometry.stride_w : 1; }
  ROOK_HOST_DEVICE GatherAxis down(int phase) const {
    return dgrad ? dgrad_axis(axis_down(geometry, out_h, source_h), phase / geometry.stride_w)
                 : fprop_axis(axis_down(geometry, source_h, out_h));
  }
  ROOK_HOST_DEVICE GatherAxis across(int phase) const {
    return dgrad ? dgrad_axis(axis_across(geometry, out_w, source_w), phase % geometry.stride_w)
                 : fprop_axis(axis_across(geometry, source_w, out_w));
  }
};

// Pointers to the channels of a thread.
template <class In>
struct ChannelPair {
  const In* source;      // of pixel 0
  const float* weights;  // of tap 0
};

// sums[i] += source weights for the run of outputs that begins at `first`, in the row y.
template <class In, int V>
__device__ __forceinline__ void gather_run(const DepthwiseGather& g, const GatherAxis& down, const GatherAxis& across,
                                           const ChannelPair<In>& from, int image, int y, int first,
                                           float (&sums)[kRun][V]) {
#pragma unroll 1
  for (int r = 0; r < down.taps; ++r) {
    const int from_y = down.source_first + y * down.source_step + r * down.tap_source_step;
    if (static_cast<unsigned>(from_y) >= static_cast<unsigned>(g.source_h)) continue;
    const In* row = from.source + (std::int64_t{image} * g.source_h + from_y) * g.source_w * g.source_pitch;
    const int filter_row = (down.tap_first + r * down.tap_step) * g.geometry.s;
#pragma unroll 1
    for (int s = 0; s < across.taps; ++s) {
      const int tap = filter_row + across.tap_first + s * across.tap_step;
      float weights[V];
      load_floats<V>(from.weights + tap * g.weights_pitch, weights);
#pragma unroll
      for (int i = 0; i < kRun; ++i) {
        const int from_x = across.source_first + (first + i) * across.source_step + s * across.tap_source_step;
        if (static_cast<unsigned>(from_x) >= static_cast<unsigned>(g.source_w)) continue;
        float values[V];
        load_floats<V>(row + std::int64_t{from_x} * g.source_pitch, values);
#pragma unroll
        for (int j = 0; j < V; ++j) sums[i][j] += values[j] * weights[j];
      }
    }
  }
}

// source [n, source_h, source_w, channels], weights [R, S, weights_pitch], out [n, out_h, out_w, out_c]. Thread
// (channels, run of outputs); block (runs, channels, phase).
template <class In, class Out, int V>
__global__ void __launch_bounds__(kThreads)
    depthwise_kernel(const DepthwiseGather g, const In* source, const float* weights, Out* out) {
  const GatherAxis down = g.down(static_cast<int>(blockIdx.z)), across = g.across(static_cast<int>(blockIdx.z));
  const unsigned runs_across = static_cast<unsigned>((across.count + kRun - 1) / kRun);
  const unsigned run = blockIdx.x * blockDim.y + threadIdx.y;
  const int channel = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * V;
  const unsigned runs = static_cast<unsigned>(g.n) * static_cast<unsigned>(down.count) * runs_across;
  if (run >= runs || channel >= g.out_c) return;
  const unsigned row = run / runs_across;
  const int image = static_cast<int>(row / static_cast<unsigned>(down.count));
  const int y = static_cast<int>(row % static_cast<unsigned>(down.count));
  const int first = static_cast<int>(run % runs_across) * kRun;
  float sums[kRun][V] = {};
  const int terms = g.dgrad ? g.multiplier : 1;  // channels of the source that belong to one of the output
#pragma unroll 1
  for (int term = 0; term < terms; ++term) {
    const int filter = g.dgrad ? channel * g.multiplier + term : channel;
    const int from = g.dgrad ? filter : channel / g.multiplier;
    gather_run<In, V>(g, down, across, {source + from, weights + filter}, image, y, first, sums);
  }
  float bias[V];
#pragma unroll
  for (int j = 0; j < V; ++j) bias[j] = g.bias ? g.bias[channel + j] : 0.0f;
  const int out_y = down.out_first + y * down.out_step;
  Out* to = out + (std::int64_t{image} * g.out_h + out_y) * g.out_w * g.out_pitch + channel;
#pragma unroll 1
  for (int i = 0; i < kRun && first + i < across.count; ++i) {
    float values[V];
#pragma unroll
    for (int j = 0; j < V; ++j) values[j] = activate(g.activation, sums[0][j] + bias[j]);
    const int out_x = across.out_first + (first + i) * across.out_step;
    put_gradient<V>(to + std::int64_t{out_x} * g.out_pitch, values, g.mode);
#pragma unroll
    for (int k = 0; k + 1 < kRun; ++k)  // the next one moves to the front: it stays in registers so
#pragma unroll
      for (int j = 0; j < V; ++j) sums[k][j] = sums[k + 1][j];
  }
}

constexpr int kTaps = 9;  // whose sums a thread keeps at once

struct DepthwiseWgrad {
  ConvGeometry geometry;
  int h, w, p, q;
  int pitch_x, pitch_y;  // from pixel to pixel
  int multiplier;
  int pixels, pixels_per_block;
  int lanes;  // threads side by side along the channels
};

template <int V>
struct WgradSums {
  float of[kTaps][kThreads * V];
};

// sums[tap] += dy x over the pixels of a thread, for taps from `tap0` on.
template <class In, int V>
__device__ __forceinline__ void sum_taps(const DepthwiseWgrad& g, const In* x, const In* dy, int filter, int tap0,
                                         int begin, int end, int step, float (&sums)[kTaps][V]) {
  const ConvGeometry& c = g.geometry;
  int move_y[kTaps], move_x[kTaps];
#pragma unroll
  for (int t = 0; t < kTaps; ++t) {
    move_y[t] = tap0 + t < c.r * c.s ? (tap0 + t) / c.s * c.dilation : 1 << 30;  // beyond every picture
    move_x[t] = (tap0 + t) % c.s * c.dilation;
  }
  for (int pixel = begin; pixel < end; pixel += step) {
    const int row = pixel / g.q;
    const int first_y = row % g.p * c.stride_h - c.pad_h * c.dilation;
    const int first_x = pixel % g.q * c.stride_w - c.pad_w * c.dilation;
    const In* picture = x + std::int64_t{row / g.p} * g.h * g.w * g.pitch_x + filter / g.multiplier;
    float gradient[V];
    load_floats<V>(dy + std::int64_t{pixel} * g.pitch_y + filter, gradient);
#pragma unroll
    for (int t = 0; t < kTaps; ++t) {
      const int y = first_y + move_y[t], from_x = first_x + move_x[t];
      if (static_cast<unsigned>(y) >= static_cast<unsigned>(g.h) ||
          static_cast<unsigned>(from_x) >= static_cast<unsigned>(g.w))
        continue;
      float values[V];
      load_floats<V>(picture + std::int64_t{y * g.w + from_x} * g.pitch_x, values);
#pragma unroll
      for (int j = 0; j < V; ++j) sums[t][j] += gradient[j] * values[j];
    }
  }
}

// x [n, h, w, C], dy [n, p, q, K], partial [gridDim.x, K, R, S]. Block (range of pixels, filters, taps).
template <class In, int V>
__global__ void __launch_bounds__(kThreads)
    depthwise_wgrad_kernel(const DepthwiseWgrad g, const In* x, const In* dy, float* partial) {
  WgradSums<V>& shared = block_shared<WgradSums<V>>();
  const int thread = static_cast<int>(threadIdx.x), pixel_lanes = kThreads / g.lanes;
  const int filter = (static_cast<int>(blockIdx.y) * g.lanes + thread % g.lanes) * V;
  const int tap0 = static_cast<int>(blockIdx.z) * kTaps, taps = g.geometry.r * g.geometry.s;
  const int begin = static_cast<int>(blockIdx.x) * g.pixels_per_block;
  const int end = g.pixels - begin < g.pixels_per_block ? g.pixels : begin + g.pixels_per_block;
  float sums[kTaps][V] = {};
  if (filter < g.geometry.k) sum_taps<In, V>(g, x, dy, filter, tap0, begin + thread / g.lanes, end, pixel_lanes, sums);
#pragma unroll
  for (int t = 0; t < kTaps; ++t)
#pragma unroll
    for (int j = 0; j < V; ++j) shared.of[t][thread * V + j] = sums[t][j];
  __syncthreads();
  const int side = g.lanes * V;  // filters of the block
  for (int i = thread; i < side * kTaps; i += kThreads) {
    const int tap = tap0 + i / side, k = static_cast<int>(blockIdx.y) * side + i % side;
    if (tap >= taps || k >= g.geometry.k) continue;
    float sum = 0;
    for (int lane = 0; lane < pixel_lanes; ++lane) sum += shared.of[i / side][lane * side + i % side];
    partial[(std::int64_t{blockIdx.x} * g.geometry.k + k) * taps + tap] = sum;
  }
}

// ------------------------------------------------------------------------------------------------------------
// launchers

bool supports(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  return g.groups > 1 && g.groups == g.c && g.k % g.c == 0 && g.stride_h * g.stride_w < 65536 &&
         direct_row().supports(problem);
}

// Threads along the channels: as many as there are vectors, in a power of two, up to a warp.
int lanes_for(int vectors) {
  int lanes = 1;
  while (lanes < vectors && lanes < kWarp) lanes *= 2;
  return lanes;
}

template <class In, class Out, int V>
void launch_gather(const DepthwiseGather& gather, const Tensor& source, const void* weights, const Tensor& out,
                   Stream stream) {
  const int vectors = divide_up(gather.out_c, V), lanes = lanes_for(vectors), run_lanes = kThreads / lanes;
  const GatherAxis across = gather.across(0);
  const std::int64_t runs = std::int64_t{gather.n} * gather.down(0).count * divide_up(across.count, kRun);
  const Grid grid{.blocks = {static_cast<unsigned>((runs + run_lanes - 1) / run_lanes),
                             static_cast<unsigned>(divide_up(vectors, lanes)), static_cast<unsigned>(gather.phases())},
                  .threads = {static_cast<unsigned>(lanes), static_cast<unsigned>(run_lanes)}};
  launch(stream, grid, depthwise_kernel<In, Out, V>, gather, source.as<const In>(), static_cast<const float*>(weights),
         out.as<Out>());
}

template <class In, class Out>
void choose_vectors(const DepthwiseGather& gather, const Tensor& source, const void* weights, const Tensor& out,
                    Stream stream) {
  constexpr int kV = kVector<In> < kVector<Out> ? kVector<In> : kVector<Out>;  // 16 bytes of the wider
  const bool vectors = gather.multiplier == 1 && in_vectors<kV>(source.data, source.dtype, source.c, source.pitch) &&
                       in_vectors<kV>(out.data, out.dtype, out.c, out.pitch);
  if (vectors) return launch_gather<In, Out, kV>(gather, source, weights, out, stream);
  launch_gather<In, Out, 1>(gather, source, weights, out, stream);
}

void run_gather(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  const bool dgrad = problem.direction == ConvDirection::dgrad;
  const Tensor &source = dgrad ? args.y : args.x, &out = dgrad ? args.x : args.y;
  const DepthwiseGather gather{.geometry = problem.geometry,
                               .dgrad = dgrad,
                               .n = problem.n,
                               .source_h = source.h,
                               .source_w = source.w,
                               .out_h = out.h,
                               .out_w = out.w,
                               .multiplier = problem.geometry.k / problem.geometry.c,
                               .out_c = out.c,
                               .weights_pitch = packed_pitch(problem.geometry.k),
                               .source_pitch = static_cast<int>(source.pitch),
                               .out_pitch = static_cast<int>(out.pitch),
                               .bias = dgrad ? nullptr : args.bias,
                               .activation = dgrad ? Activation::linear : problem.activation,
                               .mode = dgrad ? args.mode : Grad::overwrite};
  with_storage("depthwise convolution", source.dtype, [&](auto storage) {
    using In = typename decltype(storage)::Type;
    if (out.dtype == source.dtype) return choose_vectors<In, In>(gather, source, args.weights, out, stream);
    choose_vectors<In, float>(gather, source, args.weights, out, stream);
  });
}

constexpr int kWgradVector = 4;  // 9 taps of more would not fit the registers

// Ranges of pixels, whatever the vectors: enough blocks for a large GPU, at least 256 pixels each.
int ranges_of(const ConvProblem& problem) {
  constexpr std::int64_t kBlocks = 1056, kFewest = 256;
  const ConvGeometry& g = problem.geometry;
  const std::int64_t pixels = std::int64_t{problem.n} * problem.p() * problem.q();
  const std::int64_t blocks = std::int64_t{divide_up(g.k, kWarp * kWgradVector)} * divide_up(g.r * g.s, kTaps);
  return static_cast<int>(std::clamp<std::int64_t>(std::min(kBlocks / blocks, pixels / kFewest), 1, kBlocks));
}

std::size_t partial_bytes(const ConvProblem& problem) {
  return workspace_aligned(static_cast<std::size_t>(problem.geometry.weights()) * ranges_of(problem) * sizeof(float));
}

template <class In, int V>
void launch_wgrad(DepthwiseWgrad wgrad, int ranges, const ConvArgs& args, Stream stream) {
  const int vectors = divide_up(wgrad.geometry.k, V);
  wgrad.lanes = lanes_for(vectors);
  const Grid grid{.blocks = {static_cast<unsigned>(ranges), static_cast<unsigned>(divide_up(vectors, wgrad.lanes)),
                             static_cast<unsigned>(divide_up(wgrad.geometry.r * wgrad.geometry.s, kTaps))},
                  .threads = kThreads};
  launch(stream, grid, depthwise_wgrad_kernel<In, V>, wgrad, args.x.as<const In>(), args.y.as<const In>(),
         static_cast<float*>(args.workspace));
}

void run_wgrad(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  const ConvGeometry& g = problem.geometry;
  const int pixels = static_cast<int>(args.y.pixels()), per_block = divide_up(pixels, ranges_of(problem));
  const int ranges = divide_up(pixels, per_block);
  const DepthwiseWgrad wgrad{.geometry = g,
                             .h = problem.h,
                             .w = problem.w,
                             .p = problem.p(),
                             .q = problem.q(),
                             .pitch_x = problem.x_pitch(),
                             .pitch_y = problem.y_pitch(),
                             .multiplier = g.k / g.c,
                             .pixels = pixels,
                             .pixels_per_block = per_block};
  constexpr int kV = kWgradVector;
  const bool vectors = wgrad.multiplier == 1 && in_vectors<kV>(args.x.data, args.x.dtype, g.c, args.x.pitch) &&
                       in_vectors<kV>(args.y.data, args.y.dtype, g.k, args.y.pitch);
  with_storage("depthwise convolution wgrad", problem.x, [&](auto storage) {
    using In = typename decltype(storage)::Type;
    if (vectors) return launch_wgrad<In, kV>(wgrad, ranges, args, stream);
    launch_wgrad<In, 1>(wgrad, ranges, args, stream);
  });
  add_partials(static_cast<const float*>(args.workspace), ranges, g.weights(), args.dweights, stream);
  if (problem.bias && args.dbias)
    bias_gradient(problem, args.y, args.dbias, static_cast<std::byte*>(args.workspace) + partial_bytes(problem),
                  stream);
}

std::size_t workspace(const ConvProblem& problem) {
  if (problem.direction != ConvDirection::wgrad) return 0;
  return partial_bytes(problem) + bias_gradient_bytes(problem);
}

void run(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  check_conv(problem, args);
  if (problem.direction == ConvDirection::wgrad) return run_wgrad(problem, args, stream);
  run_gather(problem, args, stream);
}

constexpr ConvRow kRow{
    .name = "depthwise",
    .supports = supports,
    .workspace = workspace,
    .packed_bytes = [](const ConvProblem& problem) { return packed_depthwise_bytes(problem, DType::f32); },
    .pack = [](const ConvProblem& problem, const float* weights, void* packed,
               Stream stream) { pack_depthwise(problem, weights, DType::f32, packed, stream); },
    .run = run};

}  // namespace
}  // namespace conv_depthwise

const ConvRow& depthwise_row() {
  return conv_depthwise::kRow;
}

}  // namespace rook::ROOK_GPU
