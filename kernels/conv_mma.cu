// The rows of the convolution table that compute on tensor cores: what they take, what they need, and how a problem
// becomes the arguments of kernels/conv_mma_pixels.cu (fprop, dgrad) and kernels/conv_mma_filters.cu (wgrad).
#include "kernels/conv_mma.h"

#include <array>
#include <utility>

#include "kernels/conv_mma_filters.cuh"
#include "kernels/conv_mma_pixels.cuh"
#include "kernels/conv_mma_plan.h"
#include "kernels/conv_pack.cuh"
#include "kernels/conv_sum.cuh"
#include "kernels/launch.cuh"

namespace rook::ROOK_GPU {
namespace conv_mma {
namespace {

// to [pixels, pitch] = from [pixels, channels] of from_pitch, zeros beyond; pitch is a multiple of kMmaChunk.
template <class T>
__global__ void pad_channels(const T* from, std::int64_t from_pitch, std::int64_t pixels, int channels, int pitch,
                             T* to) {
  const int chunks = pitch / kMmaChunk;
  for (std::int64_t i = global_thread(); i < pixels * chunks; i += grid_threads()) {
    const std::int64_t pixel = i / chunks;
    const int channel = static_cast<int>(i - pixel * chunks) * kMmaChunk;
    Vec<T, kMmaChunk> chunk;
#pragma unroll
    for (int k = 0; k < kMmaChunk; ++k)
      chunk.v[k] = channel + k < channels ? from[pixel * from_pitch + channel + k] : from_float<T>(0.0f);
    store(to + pixel * pitch + channel, chunk);
  }
}

// ------------------------------------------------------------------------------------------------------------- ruler

bool pads_x(const ConvProblem& problem) {
  return problem.direction != ConvDirection::dgrad &&
         (problem.geometry.c % kMmaChunk != 0 || problem.x_pitch() % kMmaChunk != 0);
}
bool pads_y(const ConvProblem& problem) {
  return problem.direction != ConvDirection::fprop &&
         (problem.geometry.k % kMmaChunk != 0 || problem.y_pitch() % kMmaChunk != 0);
}

// Where things lie in the workspace, in bytes.
struct Workspace {
  std::size_t x = 0, y = 0;  // copies with padded channels of tensors that are read
  std::size_t partial = 0;   // f32 [splits, pixels, padded channels], or [splits, K, R, S, C]
  std::size_t bias = 0;
  std::size_t bytes = 0;
};

std::int64_t pixels_of_x(const ConvProblem& problem) {
  return std::int64_t{problem.n} * problem.h * problem.w;
}
std::int64_t pixels_of_y(const ConvProblem& problem) {
  return std::int64_t{problem.n} * problem.p() * problem.q();
}

Workspace workspace_of(const ConvProblem& problem, const MmaPlan& plan) {
  const ConvGeometry& g = problem.geometry;
  Workspace workspace;
  const auto reserve = [&](std::int64_t count, std::size_t size) {
    return std::exchange(workspace.bytes, workspace.bytes + workspace_aligned(static_cast<std::size_t>(count) * size));
  };
  if (pads_x(problem)) workspace.x = reserve(pixels_of_x(problem) * padded_channels(g.c), size_of(problem.x));
  if (pads_y(problem)) workspace.y = reserve(pixels_of_y(problem) * padded_channels(g.k), size_of(problem.y));
  if (plan.splits > 1) {
    const std::int64_t results = problem.direction == ConvDirection::wgrad ? g.weights()
                                 : problem.direction == ConvDirection::fprop
                                     ? pixels_of_y(problem) * padded_channels(g.k)
                                     : pixels_of_x(problem) * padded_channels(g.c);
    workspace.partial = reserve(plan.splits * results, sizeof(float));
  }
  if (problem.direction == ConvDirection::wgrad)
    workspace.bias = reserve(static_cast<std::int64_t>(bias_gradient_bytes(problem)), 1);
  return workspace;
}

// ---------------------------------------------------------------------------------------------------------- launchers

void* at(const ConvArgs& args, std::size_t offset) {
  return static_cast<std::byte*>(args.workspace) + offset;
}

bool is_aligned(const void* pointer, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

// What a product reads of a tensor: its own data, or a copy with padded channels at `copy`.
struct Readable {
  const void* data;
  int pitch;
};
Readable readable(const char* name, const Tensor& tensor, bool pads, void* copy, Stream stream) {
  if (!pads) {
    if (is_aligned(tensor.data, 16)) return {tensor.data, static_cast<int>(tensor.pitch)};
    throw Error(fmt::format("convolution on tensor cores: {} does not begin at a multiple of 16 bytes", name));
  }
  const auto pad = [&]<class T>(Storage<T>) {
    const int pitch = padded_channels(tensor.c);
    constexpr int kThreads = 256;
    launch(stream, {.blocks = blocks_for(tensor.pixels() * (pitch / kMmaChunk), kThreads), .threads = kThreads},
           pad_channels<T>, tensor.as<T>(), tensor.pitch, tensor.pixels(), tensor.c, pitch, static_cast<T*>(copy));
  };
  tensor.dtype == DType::bf16 ? pad(Storage<__nv_bfloat16>{}) : pad(Storage<__half>{});
  return {copy, padded_channels(tensor.c)};
}

void set_axes(PixelGemm& g, const ConvProblem& problem) {
  const MmaAxes down = mma_axes_down(problem), across = mma_axes_across(problem);
  std::copy_n(down.axis.begin(), kMaxMmaStride, g.y);
  std::copy_n(across.axis.begin(), kMaxMmaStride, g.x);
  g.classes_x = across.count;
  g.classes = down.count * across.count;
}

void run_to_pixels(const ConvProblem& problem, const MmaPlan& plan, const ConvArgs& args, Stream stream) {
  const Workspace workspace = workspace_of(problem, plan);
  const bool fprop = problem.direction == ConvDirection::fprop;
  const Tensor& from = fprop ? args.x : args.y;
  const Tensor& to = fprop ? args.y : args.x;
  const std::size_t copy = fprop ? workspace.x : workspace.y;
  const Readable source =
      readable(fprop ? "x" : "dy", from, fprop ? pads_x(problem) : pads_y(problem), at(args, copy), stream);
  PixelGemm g{.source = source.data,
              .weights = args.weights,
              .images = problem.n,
              .source_h = from.h,
              .source_w = from.w,
              .channels = padded_channels(from.c),
              .source_pitch = source.pitch,
              .by_channels = FastDivision(padded_channels(from.c)),
              .filter_w = problem.geometry.s,
              .destination_h = to.h,
              .destination_w = to.w,
              .destination_pixels = to.pixels(),
              .output = {.data = to.data,
                         .pitch = to.pitch,
                         .channels = to.c,
                         .wide = to.dtype == DType::f32,
                         .vectors = to.c % kSumVector == 0 && to.pitch % kSumVector == 0 &&
                                    is_aligned(to.data, kSumVector * size_of(to.dtype)),
                         .bias = fprop && problem.bias ? args.bias : nullptr,
                         .activation = fprop ? problem.activation : Activation::linear,
                         .mode = fprop ? Grad::overwrite : args.mode},
              .splits = plan.splits,
              .partial = plan.splits > 1 ? static_cast<float*>(at(args, workspace.partial)) : nullptr,
              .partial_pitch = padded_channels(to.c)};
  set_axes(g, problem);
  run_pixels(g, problem.x, plan.tile, stream);
}

void run_to_filters(const ConvProblem& problem, const MmaPlan& plan, const ConvArgs& args, Stream stream) {
  const Workspace workspace = workspace_of(problem, plan);
  const ConvGeometry& geometry = problem.geometry;
  const bool splits = plan.splits > 1;
  float* partial = static_cast<float*>(at(args, workspace.partial));
  float* out = splits ? partial : args.dweights;
  const Readable x = readable("x", args.x, pads_x(problem), at(args, workspace.x), stream);
  const Readable dy = readable("dy", args.y, pads_y(problem), at(args, workspace.y), stream);
  run_filters({.x = x.data,
               .dy = dy.data,
               .pixels = static_cast<int>(args.y.pixels()),
               .h = problem.h,
               .w = problem.w,
               .channels = padded_channels(geometry.c),
               .filters = padded_channels(geometry.k),
               .pitch_x = x.pitch,
               .pitch_y = dy.pitch,
               .down = mma_axes_down(problem).axis[0],
               .across = mma_axes_across(problem).axis[0],
               .filter_w = geometry.s,
               .filter_taps = geometry.r * geometry.s,
               .out = out,
               .out_filters = geometry.k,
               .out_channels = geometry.c,
               .vectors = geometry.c % kSumVector == 0 && is_aligned(out, kSumVector * sizeof(float)),
               .mode = splits ? Grad::overwrite : Grad::accumulate,
               .splits = plan.splits},
              problem.x, plan.tile, stream);
  if (splits) add_partials(partial, plan.splits, geometry.weights(), args.dweights, stream);
  if (problem.bias && args.dbias) bias_gradient(problem, args.y, args.dbias, at(args, workspace.bias), stream);
}

void run_mma(const ConvProblem& problem, const MmaPlan& plan, const ConvArgs& args, Stream stream) {
  check_conv(problem, args);
  if (problem.direction == ConvDirection::wgrad) {
    run_to_filters(problem, plan, args, stream);
  } else {
    run_to_pixels(problem, plan, args, stream);
  }
}

// ---------------------------------------------------------------------------------------------------------------- rows

// Each output's weights in a row per tap, [R, S, K, padded C], as the gather of dgrad wants them elsewhere; dgrad
// wants what fprop wants there.
ConvProblem packed_as(ConvProblem problem) {
  problem.direction = problem.direction == ConvDirection::dgrad ? ConvDirection::fprop : ConvDirection::dgrad;
  return problem;
}

constexpr int kByRule = -1;

template <int Tile>
MmaPlan plan_as(const ConvProblem& problem) {
  if constexpr (Tile == kByRule) {
    return plan_mma(problem);
  } else {
    return plan_mma(problem, static_cast<MmaTile>(Tile));
  }
}

// The row that takes tile number Tile, or chooses by rule.
template <int Tile>
constexpr ConvRow make_row(std::string_view name) {
  return {.name = name,
          .supports = mma_supports,
          .workspace = [](const ConvProblem& problem) { return workspace_of(problem, plan_as<Tile>(problem)).bytes; },
          .packed_bytes = [](const ConvProblem& problem) { return packed_gemm_bytes(packed_as(problem), problem.x); },
          .pack = [](const ConvProblem& problem, const float* weights, void* packed,
                     Stream stream) { pack_gemm(packed_as(problem), weights, problem.x, packed, stream); },
          .run = [](const ConvProblem& problem, const ConvArgs& args,
                    Stream stream) { run_mma(problem, plan_as<Tile>(problem), args, stream); }};
}

template <int... Tiles>
constexpr std::array<ConvRow, 1 + sizeof...(Tiles)> make_rows(std::integer_sequence<int, Tiles...>) {
  return {make_row<kByRule>("mma"), make_row<Tiles>(kMmaTiles[Tiles].name)...};
}

}  // namespace
}  // namespace conv_mma

std::span<const ConvRow> conv_mma_rows() {
  static constexpr auto kRows =
      conv_mma::make_rows(std::make_integer_sequence<int, static_cast<int>(kMmaTiles.size())>());
  return kRows;
}

}  // namespace rook::ROOK_GPU
