// fprop and dgrad on tensor cores, as implicit GEMM: nothing is unfolded in memory, the copies of a step gather the
// pixels that the taps see, zeros where a tap lies outside of the image.
//   sums[pixel][output] = sum over taps t and channels c of source[see(pixel, t)][c] weights[t][output][c]
// The reduction runs over chunks of 8 channels, tap after tap, without a gap: 8 channels suffice for full steps.
// dgrad: pixels with the same remainder by the stride see the same taps; each such class is a product of its own
// (blockIdx.z), and no product with zero is computed.
#include "kernels/conv_mma_pixels.cuh"

#include "kernels/conv_mma.h"
#include "kernels/launch.cuh"

namespace rook::ROOK_GPU::conv_mma {
namespace {

// The copies of one thread: every kRowStep-th row of both tiles, always the same chunk of a row. Without branches and
// with one multiplication an address, because the multiply instructions wait behind it.
template <class T, class Tile>
class PixelLoader {
 public:
  __device__ __forceinline__ PixelLoader(const PixelGemm& g, const MmaAxis& ay, const MmaAxis& ax, int first_pixel,
                                         int first_output, Steps steps)
      : g_(g), ay_(ay), ax_(ax) {
    const int row = static_cast<int>(threadIdx.x) / kChunks, chunk = static_cast<int>(threadIdx.x) % kChunks;
    to_ = place<Tile::kDepth>(row, chunk);
    position_ = steps.begin * Tile::kDepth + chunk * kMmaChunk;
    const int total = ay.gather.taps * ax.gather.taps * g.channels, end = (steps.begin + steps.count) * Tile::kDepth;
    end_ = end < total ? end : total;
#pragma unroll
    for (int i = 0; i < kPixels; ++i) see(i, first_pixel + row + i * kRowStep);
#pragma unroll
    for (int i = 0; i < kOutputs; ++i) {  // beyond the last, the last once more: nobody reads the sums
      const int output = first_output + row + i * kRowStep, last = g.output.channels - 1;
      weights_[i] = (output < last ? output : last) * g.channels;
    }
  }

  // Begins the copies of a step and goes on to the next.
  __device__ __forceinline__ void operator()(T* a, T* b) {
    const bool inside = position_ < end_;
    const int tap = g_.by_channels.divide(position_), channel = position_ - tap * g_.channels;
    const int tap_y = ax_.by_taps.divide(tap), tap_x = tap - tap_y * ax_.gather.taps;
    const int dy = tap_y * ay_.gather.tap_source_step, dx = tap_x * ax_.gather.tap_source_step;
    const int shift = dy * g_.source_w + dx;
    const T* source = static_cast<const T*>(g_.source) + channel;
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const bool valid = inside && static_cast<unsigned>(y_[i] + dy) < static_cast<unsigned>(g_.source_h) &&
                         static_cast<unsigned>(x_[i] + dx) < static_cast<unsigned>(g_.source_w);
      const int pixel = valid ? pixel_[i] + shift : 0;
      cp_async<16>(a + to_ + i * kRowStep * Tile::kDepth, source + std::int64_t{pixel} * g_.source_pitch, valid);
    }
    const int filter_y = ay_.gather.tap_first + tap_y * ay_.gather.tap_step;
    const int filter_x = ax_.gather.tap_first + tap_x * ax_.gather.tap_step;
    const int first = (filter_y * g_.filter_w + filter_x) * g_.output.channels * g_.channels + channel;
    const T* weights = static_cast<const T*>(g_.weights) + (inside ? first : 0);
#pragma unroll
    for (int i = 0; i < kOutputs; ++i)
      cp_async<16>(b + to_ + i * kRowStep * Tile::kDepth, weights + weights_[i], inside);
    position_ += Tile::kDepth;
  }

 private:
  static constexpr int kChunks = Tile::kDepth / kMmaChunk, kRowStep = Tile::kThreads / kChunks;
  static constexpr int kPixels = Tile::kRows / kRowStep, kOutputs = Tile::kColumns / kRowStep;
  static_assert(kRowStep % 8 == 0 && Tile::kRows % kRowStep == 0 && Tile::kColumns % kRowStep == 0);

  // Row i of the tile of pixels is destination `index` of the class.
  __device__ __forceinline__ void see(int i, int index) {
    const int line = ax_.by_count.divide(index), image = ay_.by_count.divide(line);
    if (image < g_.images) {
      y_[i] = ay_.gather.source_first + (line - image * ay_.gather.count) * ay_.gather.source_step;
      x_[i] = ax_.gather.source_first + (index - line * ax_.gather.count) * ax_.gather.source_step;
      pixel_[i] = (image * g_.source_h + y_[i]) * g_.source_w + x_[i];
    } else {  // beyond the last: no tap lies inside
      y_[i] = -(1 << 30);
      x_[i] = pixel_[i] = 0;
    }
  }

  const PixelGemm& g_;
  const MmaAxis& ay_;
  const MmaAxis& ax_;
  int to_;
  int position_, end_;                            // in the reduction: tap * channels + channel
  int pixel_[kPixels], y_[kPixels], x_[kPixels];  // what tap (0, 0) of a row sees
  int weights_[kOutputs];                         // where a row lies in the weights of a tap
};

// The pixel of the destination that is number `index` of a class.
__device__ __forceinline__ std::int64_t destination(const PixelGemm& g, const MmaAxis& ay, const MmaAxis& ax,
                                                    int index) {
  if (g.classes == 1) return index;
  const int line = ax.by_count.divide(index), image = ay.by_count.divide(line);
  const int y = ay.gather.out_first + (line - image * ay.gather.count) * ay.gather.out_step,
            x = ax.gather.out_first + (index - line * ax.gather.count) * ax.gather.out_step;
  return (std::int64_t{image} * g.destination_h + y) * g.destination_w + x;
}

// Grid: tiles (outputs innermost: the blocks that run together share pixels), splits, classes.
template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks) pixel_gemm(PixelGemm g) {
  const int class_y = static_cast<int>(blockIdx.z) / g.classes_x;
  const MmaAxis ay = g.y[class_y], ax = g.x[static_cast<int>(blockIdx.z) - class_y * g.classes_x];
  const int tiles_across = (g.output.channels + Tile::kColumns - 1) / Tile::kColumns;
  const int tile_down = static_cast<int>(blockIdx.x) / tiles_across;
  const int first_pixel = tile_down * Tile::kRows;
  const int first_output = (static_cast<int>(blockIdx.x) - tile_down * tiles_across) * Tile::kColumns;
  const int pixels = g.images * ay.gather.count * ax.gather.count;
  const int total = (ay.gather.taps * ax.gather.taps * g.channels + Tile::kDepth - 1) / Tile::kDepth;
  Steps steps = steps_of(total, g.splits, static_cast<int>(blockIdx.y));
  if (first_pixel >= pixels) steps.count = 0;

  Sums<Tile> sums;
  const bool work = first_pixel + warp_row<Tile>() < pixels && first_output + warp_column<Tile>() < g.output.channels;
  PixelLoader<T, Tile> load(g, ay, ax, first_pixel, first_output, steps);
  Product<T, Tile, DepthInner>(dynamic_shared<T>()).run(sums, steps.count, work, load);
  stage_sums(sums, dynamic_shared<float>());

  const int output = first_output + sum_column<Tile>();
  const auto visit = [&](int row, auto put) {
    const int index = first_pixel + row;
    if (index < pixels && output < g.output.channels) put(destination(g, ay, ax, index));
  };
  if (g.partial) {
    float* const partial = g.partial + blockIdx.y * g.destination_pixels * g.partial_pitch + output;
    for_sums<Tile, 4>(dynamic_shared<float>(), [&](int row, const float(&values)[kSumVector]) {
      visit(row, [&](std::int64_t pixel) { store_floats<kSumVector>(partial + pixel * g.partial_pitch, values); });
    });
    return;
  }
  float bias[kSumVector];
  load_bias(g.output, output, bias);
  if (g.output.activation == Activation::linear || g.output.activation == Activation::leaky) {
    for_sums<Tile, 4>(dynamic_shared<float>(), [&](int row, const float(&values)[kSumVector]) {
      visit(row, [&](std::int64_t pixel) { put_pixel<T, Piecewise>(g.output, pixel, output, values, bias); });
    });
  } else {
    for_sums<Tile, 1>(dynamic_shared<float>(), [&](int row, const float(&values)[kSumVector]) {
      visit(row, [&](std::int64_t pixel) { put_pixel<T, AnyActivation>(g.output, pixel, output, values, bias); });
    });
  }
}

// output = sum over splits of partial [splits, pixels, partial_pitch], in their order.
template <class T>
__global__ void add_splits(const float* partial, int splits, std::int64_t pixels, int pitch, PixelOutput output) {
  const int vectors = pitch / kSumVector;
  for (std::int64_t i = global_thread(); i < pixels * vectors; i += grid_threads()) {
    const std::int64_t pixel = i / vectors;
    const int channel = static_cast<int>(i - pixel * vectors) * kSumVector;
    if (channel >= output.channels) continue;
    float sum[kSumVector] = {}, bias[kSumVector];
    load_bias(output, channel, bias);
#pragma unroll 4
    for (int split = 0; split < splits; ++split) {
      float part[kSumVector];
      load_floats<kSumVector>(partial + (split * pixels + pixel) * pitch + channel, part);
#pragma unroll
      for (int k = 0; k < kSumVector; ++k) sum[k] += part[k];
    }
    put_pixel<T, AnyActivation>(output, pixel, channel, sum, bias);
  }
}

template <class T>
void launch_pixels(const PixelGemm& g, MmaTile tile, Stream stream) {
  int most = 0;  // pixels of a class
  for (int i = 0; i < g.classes; ++i)
    most = std::max(most, g.images * g.y[i / g.classes_x].gather.count * g.x[i % g.classes_x].gather.count);
  with_tile<Tile>(tile, [&](auto chosen) {
    using Chosen = decltype(chosen);
    const int across = (g.output.channels + Chosen::kColumns - 1) / Chosen::kColumns;
    const unsigned tiles = static_cast<unsigned>((most + Chosen::kRows - 1) / Chosen::kRows * across);
    launch(stream,
           {.blocks = dim3(tiles, static_cast<unsigned>(g.splits), static_cast<unsigned>(g.classes)),
            .threads = Chosen::kThreads,
            .shared = Chosen::kSharedBytes},
           pixel_gemm<T, Chosen>, g);
  });
  if (!g.partial) return;
  constexpr int kThreads = 256;
  launch(stream,
         {.blocks = blocks_for(g.destination_pixels * (g.partial_pitch / kSumVector), kThreads), .threads = kThreads},
         add_splits<T>, g.partial, g.splits, g.destination_pixels, g.partial_pitch, g.output);
}

}  // namespace

void run_pixels(const PixelGemm& g, DType type, MmaTile tile, Stream stream) {
  if (type == DType::bf16) {
    launch_pixels<__nv_bfloat16>(g, tile, stream);
  } else {
    launch_pixels<__half>(g, tile, stream);
  }
}

}  // namespace rook::ROOK_GPU::conv_mma
