// Resizing of a u8 photo to a network input (kernels/resize_plan.h). A block makes part of a row of the output: it sums
// the source rows into a line of shared memory (neighbouring threads read neighbouring bytes), then each thread sums
// its element's columns from the line. Lines longer than shared memory are made piece by piece.
#include "kernels/device.cuh"
#include "kernels/launch.cuh"
#include "kernels/resize_plan.h"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kResizeThreads = 256;
constexpr int kChannels = 64;  // at most, per block
constexpr int kLine = 4096;    // floats

struct Line {
  float of[kLine];
};

// The source pixels of one output pixel along one axis, and their weights, worked out as they are needed.
struct Taps {
  int first, count;
  bool triangle;
  float second;                   // linear: weight of the second
  float offset, inverse, factor;  // triangle

  __device__ __forceinline__ float weight(int t) const {
    if (!triangle) return t == 0 ? 1 - second : second;
    return fmaxf(0.0f, 1 - fabsf(offset + static_cast<float>(t)) * inverse) * factor;
  }
};

__device__ __forceinline__ Taps taps_at(Resampling resampling, int i, int in, int out) {
  if (!is_triangle(resampling, in, out)) {
    const LinearTaps linear = linear_at(resampling, i, in, out);
    return {.first = linear.first, .count = min(2, in - linear.first), .triangle = false, .second = linear.weight};
  }
  const TriangleTaps triangle = triangle_at(i, in, out);
  return {.first = triangle.first,
          .count = min(triangle.taps, in - triangle.first),
          .triangle = true,
          .offset = static_cast<float>(triangle.first + 0.5 - triangle.centre),
          .inverse = static_cast<float>(1 / triangle.ratio),
          .factor = 1};
}

// ... with weights that sum to 1.
__device__ __forceinline__ Taps normalised(Taps taps) {
  if (!taps.triangle) return taps;
  float sum = 0;
  for (int t = 0; t < taps.count; ++t) sum += taps.weight(t);
  taps.factor = 1 / sum;
  return taps;
}

template <class T>
__device__ __forceinline__ T from255(float value) {
  if constexpr (sizeof(T) == 1) {
    return static_cast<T>(value + 0.5f);
  } else {
    return from_float<T>(value / 255);
  }
}

// Sums source pixels [begin, begin + count) of one row of the output, channels [channel, channel + channels), into the
// line [count, channels].
__device__ __forceinline__ void sum_rows(const Resize& args, const Taps& rows, int begin, int count, int channel,
                                         int channels, float* line) {
  const std::int64_t stride = std::int64_t{args.width} * args.channels;
  for (int j = static_cast<int>(threadIdx.x); j < count * channels; j += kResizeThreads) {
    const int pixel = j / channels, c = j - pixel * channels;
    const std::uint8_t* source =
        args.pixels + rows.first * stride + std::int64_t{begin + pixel} * args.channels + channel + c;
    float sum = 0;
    for (int t = 0; t < rows.count; ++t, source += stride) sum += rows.weight(t) * static_cast<float>(*source);
    line[j] = sum;
  }
}

// pixels [height, width, channels], y [1, H, W, channels]; blocks: parts of a row, rows, groups of channels. Thread
// t makes column t / channels of the part, channel t % channels of the group.
template <class T>
__global__ void __launch_bounds__(kResizeThreads, 3) resize_kernel(Resize args, ResizePlacement placement) {
  float* line = block_shared<Line>().of;
  const int channel = static_cast<int>(blockIdx.z) * kChannels, channels = min(kChannels, args.channels - channel);
  const int columns = kResizeThreads / channels, first = static_cast<int>(blockIdx.x) * columns;
  const int thread = static_cast<int>(threadIdx.x), c = thread % channels, column = first + thread / channels;
  const bool active = thread < columns * channels && column < args.y.w;
  // The columns of this part on the photo, counted from its left edge.
  const int low = max(first - placement.left, 0);
  const int high = min(min(first + columns, args.y.w) - placement.left, placement.width);
  const int own = column - placement.left;
  const bool on_photo = active && own >= 0 && own < placement.width;
  const int pieces = kLine / channels;

  for (int row = static_cast<int>(blockIdx.y); row < args.y.h; row += static_cast<int>(gridDim.y)) {
    const int photo_row = row - placement.top;
    const bool row_on_photo = photo_row >= 0 && photo_row < placement.height;
    float sum = 0;
    if (row_on_photo && low < high) {  // the same for the whole block
      const Taps rows = normalised(taps_at(args.resampling, photo_row, args.height, placement.height));
      const int begin = taps_at(args.resampling, low, args.width, placement.width).first;
      const Taps last = taps_at(args.resampling, high - 1, args.width, placement.width);
      const int end = last.first + last.count;
      Taps taps{};
      if (on_photo) taps = normalised(taps_at(args.resampling, own, args.width, placement.width));
      for (int piece = begin; piece < end; piece += pieces) {
        const int count = min(pieces, end - piece);
        sum_rows(args, rows, piece, count, channel, channels, line);
        __syncthreads();
        const int from = max(0, piece - taps.first), to = min(taps.count, piece + count - taps.first);
        for (int t = from; t < to; ++t) sum += taps.weight(t) * line[(taps.first + t - piece) * channels + c];
        __syncthreads();
      }
    }
    if (active) {
      T* out = static_cast<T*>(args.y.data) + (std::int64_t{row} * args.y.w + column) * args.y.pitch + channel + c;
      *out = from255<T>(row_on_photo && on_photo ? sum : kResizeFill);
    }
  }
}

template <class T>
void launch_resize(const Resize& args, Stream stream) {
  const int columns = kResizeThreads / std::min(args.channels, kChannels);
  const dim3 blocks(blocks_for(args.y.w, columns), static_cast<unsigned>(std::min(args.y.h, 65535)),
                    static_cast<unsigned>((args.channels + kChannels - 1) / kChannels));
  launch(stream, {.blocks = blocks, .threads = kResizeThreads}, resize_kernel<T>, args, place_photo(args));
}

}  // namespace

void resize(const Resize& args, Stream stream) {
  check_resize(args);
  if (args.y.dtype == DType::u8) return launch_resize<std::uint8_t>(args, stream);
  with_storage("resize", args.y.dtype,
               [&](auto storage) { launch_resize<typename decltype(storage)::Type>(args, stream); });
}

}  // namespace rook::ROOK_GPU
