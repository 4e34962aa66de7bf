// Direct convolution, fprop and dgrad, as one implicit matrix product with f32 sums:
//   out[pixel, column] = sum over taps and channels of source[pixel moved by the tap, channel] weights[tap, channel,
//   column],
// where the source is x and columns are filters (fprop), or the source is dy and columns are channels of x (dgrad). The
// matrix of moved source pixels exists in shared memory only, a tile at a time.
#include "kernels/activation_math.h"
#include "kernels/conv_axis.h"
#include "kernels/conv_direct.h"
#include "kernels/conv_pack.cuh"
#include "kernels/conv_tile.cuh"

namespace rook::ROOK_GPU {
namespace {

struct Gather {
  ConvGeometry geometry;
  bool dgrad;
  int n, source_h, source_w, out_h, out_w;
  int channels, columns;  // of a group: summed over, written
  int weights_pitch;      // of a row of packed weights
  std::int64_t source_pitch, out_pitch;
  const float* bias;  // [groups columns] or null
  Activation activation;
  Grad mode;
  bool vector_out;

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

// A place in what is summed over: tap (r, s), channel.
struct TapCursor {
  int channel, s, r;
  __device__ __forceinline__ void advance(int by, int channels, int taps_across) {
    channel += by;
    while (channel >= channels) {
      channel -= channels;
      if (++s == taps_across) {
        s = 0;
        ++r;
      }
    }
  }
};

// An output pixel of a phase.
struct OutPixel {
  int image, y, x;
};

__device__ __forceinline__ OutPixel pixel_of(unsigned index, const GatherAxis& down, const GatherAxis& across) {
  const unsigned row = index / static_cast<unsigned>(across.count);
  return {static_cast<int>(row / static_cast<unsigned>(down.count)),
          static_cast<int>(row % static_cast<unsigned>(down.count)),
          static_cast<int>(index % static_cast<unsigned>(across.count))};
}

// Brings source pixels into a stage's `a`, V channels at a time: a thread always takes the same place in the depth, and
// kPasses pixels.
template <class T, int V, class In>
struct SourceLoader {
  static constexpr int kPieces = kDepth / V, kStride = T::kThreads / kPieces, kPasses = T::kRows / kStride;
  static_assert(kStride * kPasses == T::kRows);
  static constexpr int kNowhere = -(1 << 30);  // no tap brings this back into the image

  int image[kPasses], y[kPasses], x[kPasses];
  TapCursor cursor;
  Vec<In, V> values[kPasses] = {};

  __device__ __forceinline__ SourceLoader(const Gather& g, const GatherAxis& down, const GatherAxis& across,
                                          unsigned row0, unsigned pixels) {
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const unsigned index = row0 + threadIdx.x / kPieces + static_cast<unsigned>(i * kStride);
      const OutPixel pixel = index < pixels ? pixel_of(index, down, across) : OutPixel{0, 0, 0};
      image[i] = pixel.image;
      y[i] = index < pixels ? down.source_first + pixel.y * down.source_step : kNowhere;
      x[i] = across.source_first + pixel.x * across.source_step;
    }
    cursor = {0, 0, 0};
    cursor.advance(static_cast<int>(threadIdx.x % kPieces) * V, g.channels, across.taps);
  }

  // source: first channel of the group.
  __device__ __forceinline__ void load(const Gather& g, const GatherAxis& down, const GatherAxis& across,
                                       const In* source) {
    const int move_y = cursor.r * down.tap_source_step, move_x = cursor.s * across.tap_source_step;
    const bool live = cursor.r < down.taps;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int from_y = y[i] + move_y, from_x = x[i] + move_x;
      const bool inside = live && static_cast<unsigned>(from_y) < static_cast<unsigned>(g.source_h) &&
                          static_cast<unsigned>(from_x) < static_cast<unsigned>(g.source_w);
      const std::int64_t pixel = (std::int64_t{image[i]} * g.source_h + from_y) * g.source_w + from_x;
      values[i] = load_or_zero<V>(source + (inside ? pixel * g.source_pitch + cursor.channel : 0), inside);
    }
    cursor.advance(kDepth, g.channels, across.taps);
  }

  __device__ __forceinline__ void store(Stage<T>& stage) const {
    const int depth = static_cast<int>(threadIdx.x % kPieces) * V, row = static_cast<int>(threadIdx.x / kPieces);
#pragma unroll
    for (int i = 0; i < kPasses; ++i)
#pragma unroll
      for (int j = 0; j < V; ++j) stage.a[depth + j][row + i * kStride] = to_float(values[i].v[j]);
  }
};

// Brings packed weights into a stage's `b`.
template <class T, class In>
struct WeightLoader {
  static constexpr int kV = kVector<In>;
  static constexpr int kPieces = T::kColumns / kV, kStride = T::kThreads / kPieces;
  static constexpr int kPasses = kStride >= kDepth ? 1 : kDepth / kStride;

  TapCursor cursor[kPasses];
  Vec<In, kV> values[kPasses] = {};
  int column;

  __device__ __forceinline__ WeightLoader(const Gather& g, const GatherAxis& across, int column0) {
    column = column0 + static_cast<int>(threadIdx.x % kPieces) * kV;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      cursor[i] = {0, 0, 0};
      cursor[i].advance(static_cast<int>(threadIdx.x / kPieces) + i * kStride, g.channels, across.taps);
    }
  }

  // weights: [R, S, channels, weights_pitch] of the group.
  __device__ __forceinline__ void load(const Gather& g, const GatherAxis& down, const GatherAxis& across,
                                       const In* weights) {
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int tap = (down.tap_first + cursor[i].r * down.tap_step) * g.geometry.s + across.tap_first +
                      cursor[i].s * across.tap_step;
      const bool inside = cursor[i].r < down.taps && column < g.weights_pitch;
      const std::int64_t row = std::int64_t{tap} * g.channels + cursor[i].channel;
      values[i] = load_or_zero<kV>(weights + (inside ? row * g.weights_pitch + column : 0), inside);
      cursor[i].advance(kDepth, g.channels, across.taps);
    }
  }

  __device__ __forceinline__ void store(Stage<T>& stage) const {
    const int depth = static_cast<int>(threadIdx.x / kPieces), first = static_cast<int>(threadIdx.x % kPieces) * kV;
#pragma unroll
    for (int i = 0; i < kPasses; ++i)
      if (kStride <= kDepth || depth < kDepth) {
#pragma unroll
        for (int j = 0; j < kV; ++j) stage.b[depth + i * kStride][first + j] = to_float(values[i].v[j]);
      }
  }
};

// out (=|+=) activation(sums + bias). One row at a time, which keeps the code of all activations small.
template <class Out>
__device__ __forceinline__ void write_out(const Gather& g, const GatherAxis& down, const GatherAxis& across,
                                          unsigned row0, unsigned pixels, int column, int group, Sums& sums, Out* out) {
  float bias[kThreadColumns];
  const int first = group * g.columns + column;
#pragma unroll
  for (int j = 0; j < kThreadColumns; ++j) bias[j] = g.bias && column + j < g.columns ? g.bias[first + j] : 0.0f;
#pragma unroll 1
  for (unsigned i = 0; i < kThreadRows; ++i, next_row(sums)) {
    if (row0 + i >= pixels) continue;
    const OutPixel p = pixel_of(row0 + i, down, across);
    const int y = down.out_first + p.y * down.out_step, x = across.out_first + p.x * across.out_step;
    const std::int64_t pixel = (std::int64_t{p.image} * g.out_h + y) * g.out_w + x;
    float values[kThreadColumns];
#pragma unroll
    for (int j = 0; j < kThreadColumns; ++j) values[j] = activate(g.activation, sums[0][j] + bias[j]);
    put_some<kThreadColumns>(out + pixel * g.out_pitch + first, values, g.columns - column, g.vector_out, g.mode);
  }
}

// source [n, source_h, source_w, groups channels], weights [groups, R, S, channels, weights_pitch],
// out [n, out_h, out_w, groups columns]. Block (tile, phase and group).
template <class In, class Out, int V, class T>
__global__ void __launch_bounds__(T::kThreads, V > 1 ? 4 : 3)
    gather_kernel(const Gather g, const In* source, const In* weights, Out* out) {
  Stages<T>& stages = block_shared<Stages<T>>();
  const int group = static_cast<int>(blockIdx.y) / g.phases(), phase = static_cast<int>(blockIdx.y) % g.phases();
  const GatherAxis down = g.down(phase), across = g.across(phase);
  const unsigned pixels = static_cast<unsigned>(g.n * down.count) * static_cast<unsigned>(across.count);
  const unsigned column_tiles = static_cast<unsigned>((g.columns + T::kColumns - 1) / T::kColumns);
  const unsigned row0 = blockIdx.x / column_tiles * T::kRows;
  const int column0 = static_cast<int>(blockIdx.x % column_tiles) * T::kColumns;
  source += group * g.channels;
  weights += std::int64_t{group} * g.geometry.r * g.geometry.s * g.channels * g.weights_pitch;

  SourceLoader<T, V, In> source_loader(g, down, across, row0, pixels);
  WeightLoader<T, In> weight_loader(g, across, column0);
  const Place place = place_in_tile<T>();
  Sums sums = {};
  const int depth = down.taps * across.taps * g.channels;
  const int steps = row0 < pixels ? (depth + kDepth - 1) / kDepth : 0;
  for (int step = 0; step <= steps; ++step) {  // fills stage `step`, multiplies the one before it
    if (step < steps) {
      source_loader.load(g, down, across, source);
      weight_loader.load(g, down, across, weights);
    }
    if (step > 0) multiply(stages.of[(step - 1) % 2], place, sums);
    if (step < steps) {
      source_loader.store(stages.of[step % 2]);
      weight_loader.store(stages.of[step % 2]);
      __syncthreads();  // the stage is filled, and all are done with the other
    }
  }
  write_out(g, down, across, row0 + static_cast<unsigned>(place.row), pixels, column0 + place.column, group, sums, out);
}

// ------------------------------------------------------------------------------------------------------------
// launchers

Gather gather_of(const ConvProblem& problem, const ConvArgs& args) {
  const ConvGeometry& g = problem.geometry;
  const bool dgrad = problem.direction == ConvDirection::dgrad;
  const Tensor &source = dgrad ? args.y : args.x, &out = dgrad ? args.x : args.y;
  Gather gather{.geometry = g,
                .dgrad = dgrad,
                .n = problem.n,
                .source_h = source.h,
                .source_w = source.w,
                .out_h = out.h,
                .out_w = out.w,
                .channels = source.c / g.groups,
                .columns = out.c / g.groups,
                .weights_pitch = packed_pitch(out.c / g.groups),
                .source_pitch = source.pitch,
                .out_pitch = out.pitch,
                .bias = dgrad ? nullptr : args.bias,
                .activation = dgrad ? Activation::linear : problem.activation,
                .mode = dgrad ? args.mode : Grad::overwrite,
                .vector_out = in_vectors<kThreadColumns>(out.data, out.dtype, out.c / g.groups, out.pitch)};
  return gather;
}

template <class In, class Out, int V, class T>
void launch_gather(const Gather& gather, const Tensor& source, const void* weights, const Tensor& out, Stream stream) {
  const std::int64_t pixels = std::int64_t{gather.n} * gather.down(0).count * gather.across(0).count;
  const std::int64_t row_tiles = (pixels + T::kRows - 1) / T::kRows;
  const unsigned tiles = static_cast<unsigned>(row_tiles * divide_up(gather.columns, T::kColumns));
  const Grid grid{.blocks = {tiles, static_cast<unsigned>(gather.geometry.groups * gather.phases())},
                  .threads = T::kThreads};
  launch(stream, grid, gather_kernel<In, Out, V, T>, gather, source.as<const In>(), static_cast<const In*>(weights),
         out.as<Out>());
}

template <class In, class Out>
void choose_tile(const Gather& gather, const Tensor& source, const void* weights, const Tensor& out, Stream stream) {
  constexpr int kV = kVector<In>;
  if (!in_vectors<kV>(source.data, source.dtype, gather.channels, source.pitch))
    return launch_gather<In, Out, 1, Tile<64, 64>>(gather, source, weights, out, stream);
  if (gather.columns <= 32) return launch_gather<In, Out, kV, Tile<128, 32>>(gather, source, weights, out, stream);
  launch_gather<In, Out, kV, Tile<64, 64>>(gather, source, weights, out, stream);
}

}  // namespace

void direct_gather(const ConvProblem& problem, const ConvArgs& args, Stream stream) {
  const Gather gather = gather_of(problem, args);
  const Tensor &source = gather.dgrad ? args.y : args.x, &out = gather.dgrad ? args.x : args.y;
  with_storage("convolution", source.dtype, [&](auto storage) {
    using In = typename decltype(storage)::Type;
    if (out.dtype == source.dtype) return choose_tile<In, In>(gather, source, args.weights, out, stream);
    choose_tile<In, float>(gather, source, args.weights, out, stream);
  });
}

}  // namespace rook::ROOK_GPU
