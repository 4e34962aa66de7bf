#include "kernels/conv_sum.cuh"

#include "kernels/device.cuh"
#include "kernels/launch.cuh"
#include "kernels/shared.cuh"

namespace rook::ROOK_GPU {
namespace {

constexpr int kPartThreads = 256;
constexpr int kPixelLanes = kPartThreads / kWarp;  // a warp reads 32 channels of a pixel

// partial [parts, count], out [count]
__global__ void add_partials_kernel(const float* partial, int parts, std::int64_t count, float* out) {
  for (std::int64_t i = global_thread(); i < count; i += grid_threads()) {
    float sum = 0;
    for (int s = 0; s < parts; ++s) sum += partial[s * count + i];
    out[i] += sum;
  }
}

struct BiasSums {
  float of[kPixelLanes][kWarp];
};

// dy [pixels, k], partial [gridDim.x, k]: block (x, y) sums its share of the pixels for 32 channels.
template <class T>
__global__ void bias_gradient_kernel(const T* dy, std::int64_t pixels, std::int64_t pixels_per_block, int k,
                                     std::int64_t pitch, float* partial) {
  BiasSums& sums = block_shared<BiasSums>();
  const int channel = static_cast<int>(blockIdx.y) * kWarp + lane();
  const std::int64_t begin = blockIdx.x * pixels_per_block;
  const std::int64_t end = begin + pixels_per_block < pixels ? begin + pixels_per_block : pixels;
  float sum = 0;
  if (channel < k)
    for (std::int64_t pixel = begin + warp(); pixel < end; pixel += kPixelLanes)
      sum += to_float(dy[pixel * pitch + channel]);
  sums.of[warp()][lane()] = sum;
  __syncthreads();
  if (warp() == 0 && channel < k) {
    float total = 0;
#pragma unroll
    for (int i = 0; i < kPixelLanes; ++i) total += sums.of[i][lane()];
    partial[std::int64_t{blockIdx.x} * k + channel] = total;
  }
}

// ------------------------------------------------------------------------------------------------------------
// launchers

// Blocks that share the pixels: some thousand pixels each, and not so many that adding them up takes long.
int bias_parts(const ConvProblem& problem) {
  const std::int64_t pixels = std::int64_t{problem.n} * problem.p() * problem.q();
  return static_cast<int>(std::clamp<std::int64_t>(pixels / 512, 1, 64));
}

}  // namespace

void add_partials(const float* partial, int parts, std::int64_t count, float* out, Stream stream) {
  launch(stream, {.blocks = blocks_for(count, kPartThreads), .threads = kPartThreads}, add_partials_kernel, partial,
         parts, count, out);
}

std::size_t bias_gradient_bytes(const ConvProblem& problem) {
  if (!problem.bias) return 0;
  return static_cast<std::size_t>(bias_parts(problem)) * problem.geometry.k * sizeof(float);
}

void bias_gradient(const ConvProblem& problem, const Tensor& dy, float* dbias, void* workspace, Stream stream) {
  const int parts = bias_parts(problem);
  const std::int64_t per_block = (dy.pixels() + parts - 1) / parts;
  float* partial = static_cast<float*>(workspace);
  const Grid grid{.blocks = {static_cast<unsigned>(parts), blocks_for(dy.c, kWarp)}, .threads = kPartThreads};
  with_storage("gradient of the bias", dy.dtype, [&](auto storage) {
    using T = typename decltype(storage)::Type;
    launch(stream, grid, bias_gradient_kernel<T>, dy.as<const T>(), dy.pixels(), per_block, dy.c, dy.pitch, partial);
  });
  add_partials(partial, parts, dy.c, dbias, stream);
}

}  // namespace rook::ROOK_GPU
