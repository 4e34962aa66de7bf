// Muon (formulas: kernels/ops.h, kernels/muon.h): products of matrices in f32, each thread a small square of the
// result, between passes over the weights.
#include <algorithm>
#include <cmath>

#include "kernels/carve.h"
#include "kernels/check.h"
#include "kernels/device.cuh"
#include "kernels/launch.cuh"
#include "kernels/muon.h"
#include "kernels/shared.cuh"
#include "kernels/step.h"

namespace rook::ROOK_GPU {
namespace {

constexpr int kMuonThreads = 256;
constexpr int kSumBlocks = 128;  // part of the order in which sums are made

struct MuonWorkspace {
  float *update, *result;                          // [rows, cols]
  float *gram, *square, *factor, *product, *next;  // [side, side]
  MuonSums* parts;                                 // [kSumBlocks]
  MuonStep* step;                                  // [1]
  std::size_t bytes;
};

MuonWorkspace layout_of(const MuonUpdate& args) {
  Carver carver(args.workspace);
  const std::int64_t count = std::int64_t{args.rows} * args.cols, side = std::min(args.rows, args.cols);
  MuonWorkspace w{};
  for (float** const array : {&w.update, &w.result}) *array = carver.take<float>(count);
  for (float** const array : {&w.gram, &w.square, &w.factor, &w.product, &w.next})
    *array = carver.take<float>(side * side);
  w.parts = carver.take<MuonSums>(kSumBlocks);
  w.step = carver.take<MuonStep>(1);
  w.bytes = carver.bytes();
  return w;
}

// v <- momentum v + scale g, update = scale g + momentum v.
__global__ void __launch_bounds__(kMuonThreads) momentum_kernel(MuonUpdate given, float* update) {
  if (is_spoilt(given.step)) return;
  const MuonUpdate args = with_step(given);
  const std::int64_t count = std::int64_t{args.rows} * args.cols, stride = std::int64_t{gridDim.x} * kMuonThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kMuonThreads + threadIdx.x; i < count; i += stride) {
    const float g = args.gradient_scale * args.gradient[i];
    const float v = args.momentum * args.velocity[i] + g;
    args.velocity[i] = v;
    update[i] = g + args.momentum * v;
  }
}

// ---- products

constexpr int kTile = 64, kOwn = 4, kTileDepth = 16;  // side of a block's square, of a thread's; terms at a time
constexpr int kTileSide = kTile / kOwn;               // threads
static_assert(kTileSide * kTileSide == kMuonThreads);

// Element (k, i) of a factor lies at data[k * k_pitch + i * i_pitch]; one of the pitches is 1.
struct Factor {
  const float* data;
  std::int64_t k_pitch, i_pitch;
};

// c [m, n] = sum over k of a(k, i) b(k, j); with `gram` the polynomial a I + b G + c (that) instead, m being n.
struct TileProduct {
  Factor a, b;
  float* c;
  int m, n, k;
  const float* gram;
};

struct ProductShared {
  float a[kTileDepth][kTile + 1], b[kTileDepth][kTile + 1];  // a column more: no two threads ask one bank for its rows
};

// Rows [k, k + kTileDepth) and columns [first, first + kTile), zeros outside. Threads that follow each other read what
// lies side by side.
__device__ __forceinline__ void load_tile(const Factor& from, int k, int depth, int first, int count,
                                          float (&to)[kTileDepth][kTile + 1]) {
#pragma unroll
  for (int part = 0; part < kTileDepth * kTile / kMuonThreads; ++part) {
    const int index = part * kMuonThreads + static_cast<int>(threadIdx.x);
    const bool along_k = from.k_pitch == 1;
    const int row = along_k ? index % kTileDepth : index / kTile;
    const int column = along_k ? index / kTileDepth : index % kTile;
    const bool inside = k + row < depth && first + column < count;
    to[row][column] = inside ? from.data[(k + row) * from.k_pitch + (first + column) * from.i_pitch] : 0;
  }
}

// Grid: tiles of columns x tiles of rows.
__global__ void __launch_bounds__(kMuonThreads) product_kernel(TileProduct args) {
  auto& shared = block_shared<ProductShared>();
  const int first_row = static_cast<int>(blockIdx.y) * kTile, first_column = static_cast<int>(blockIdx.x) * kTile;
  const int x = static_cast<int>(threadIdx.x) % kTileSide, y = static_cast<int>(threadIdx.x) / kTileSide;
  float sums[kOwn][kOwn] = {};
  for (int k = 0; k < args.k; k += kTileDepth) {
    __syncthreads();
    load_tile(args.a, k, args.k, first_row, args.m, shared.a);
    load_tile(args.b, k, args.k, first_column, args.n, shared.b);
    __syncthreads();
#pragma unroll
    for (int step = 0; step < kTileDepth; ++step) {
      float a[kOwn], b[kOwn];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        a[i] = shared.a[step][y + i * kTileSide];
        b[i] = shared.b[step][x + i * kTileSide];
      }
#pragma unroll
      for (int i = 0; i < kOwn; ++i)
#pragma unroll
        for (int j = 0; j < kOwn; ++j) sums[i][j] += a[i] * b[j];
    }
  }
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int row = first_row + y + i * kTileSide;
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      const int column = first_column + x + j * kTileSide;
      if (row >= args.m || column >= args.n) continue;
      const std::int64_t at = std::int64_t{row} * args.n + column;
      float value = sums[i][j];
      if (args.gram) {
        value = NewtonSchulz::kB * args.gram[at] + NewtonSchulz::kC * value;
        if (row == column) value += NewtonSchulz::kA;
      }
      args.c[at] = value;
    }
  }
}

// to = gram / its trace: the singular values of what it belongs to are then at most 1. Every block sums the trace.
__global__ void __launch_bounds__(kMuonThreads) normalize_kernel(const float* gram, int side, float* to) {
  auto& shared = block_shared<WarpResults<double>>();
  double trace = 0;
  for (int i = static_cast<int>(threadIdx.x); i < side; i += kMuonThreads) trace += gram[std::int64_t{i} * side + i];
  trace = block_sum(trace, shared);
  const float scale = trace > 0 ? static_cast<float>(1 / trace) : 0;
  const std::int64_t count = std::int64_t{side} * side, stride = std::int64_t{gridDim.x} * kMuonThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kMuonThreads + threadIdx.x; i < count; i += stride)
    to[i] = scale * gram[i];
}

// ---- the step

struct SumsShared {
  WarpResults<double> ww, wo, oo;
};

__device__ __forceinline__ MuonSums block_sums(const MuonSums& own) {
  auto& shared = block_shared<SumsShared>();
  return {block_sum(own.ww, shared.ww), block_sum(own.wo, shared.wo), block_sum(own.oo, shared.oo)};
}

__global__ void __launch_bounds__(kMuonThreads)
    sums_kernel(const float* weights, const float* update, std::int64_t count, MuonSums* parts) {
  MuonSums own;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kMuonThreads + threadIdx.x; i < count;
       i += std::int64_t{kSumBlocks} * kMuonThreads) {
    const double w = weights[i], o = update[i];
    own.ww += w * w;
    own.wo += w * o;
    own.oo += o * o;
  }
  const MuonSums sums = block_sums(own);
  if (threadIdx.x == 0) parts[blockIdx.x] = sums;
}

__global__ void __launch_bounds__(kMuonThreads) step_kernel(MuonUpdate given, const MuonSums* parts, MuonStep* step) {
  const MuonUpdate args = with_step(given);
  MuonSums own;
  if (threadIdx.x < kSumBlocks) own = parts[threadIdx.x];
  const MuonSums sums = block_sums(own);
  if (threadIdx.x == 0) *step = muon_step(sums, double{args.lr} * args.lr_scale);
}

__global__ void __launch_bounds__(kMuonThreads)
    weights_kernel(MuonUpdate given, const float* update, const MuonStep* step) {
  if (is_spoilt(given.step)) return;
  const MuonStep by = *step;
  const std::int64_t count = std::int64_t{given.rows} * given.cols, stride = std::int64_t{gridDim.x} * kMuonThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kMuonThreads + threadIdx.x; i < count; i += stride)
    given.weights[i] = by.keep * given.weights[i] - by.turn * update[i];
}

// Launches of one matrix.
class Launches {
 public:
  Launches(const MuonUpdate& args, const LaunchSite& site)
      : args_(args), site_(site), w_(layout_of(args)), side_(std::min(args.rows, args.cols)) {}

  void run() {
    const std::int64_t count = std::int64_t{args_.rows} * args_.cols;
    const Grid over_weights{.blocks = blocks_for(count, kMuonThreads, 1024), .threads = kMuonThreads};
    launch(site_, over_weights, momentum_kernel, args_, w_.update);
    const Factor along_rows{w_.update, args_.cols, 1}, along_columns{w_.update, 1, args_.cols};
    const bool wide = args_.rows <= args_.cols;
    const Factor& small = wide ? along_columns : along_rows;
    multiply(small, small, w_.next, side_, side_, std::max(args_.rows, args_.cols));
    launch(site_, {.blocks = blocks_for(std::int64_t{side_} * side_, kMuonThreads, 1024), .threads = kMuonThreads},
           normalize_kernel, w_.next, side_, w_.gram);
    accumulate_factors();
    if (wide)
      multiply(square(w_.product), along_rows, w_.result, args_.rows, args_.cols, side_);
    else
      multiply(along_columns, square(w_.product), w_.result, args_.rows, args_.cols, side_);
    launch(site_, {.blocks = kSumBlocks, .threads = kMuonThreads}, sums_kernel, args_.weights, w_.result, count,
           w_.parts);
    launch(site_, {.threads = kMuonThreads}, step_kernel, args_, w_.parts, w_.step);
    launch(site_, over_weights, weights_kernel, args_, w_.result, w_.step);
  }

 private:
  Factor square(const float* data) const { return {data, side_, 1}; }

  void multiply(const Factor& a, const Factor& b, float* c, int m, int n, int k, const float* gram = nullptr) {
    const auto tiles = [](int extent) { return static_cast<unsigned>((extent + kTile - 1) / kTile); };
    launch(site_, {.blocks = {tiles(n), tiles(m)}, .threads = kMuonThreads}, product_kernel,
           TileProduct{a, b, c, m, n, k, gram});
  }
  void multiply_squares(const float* a, const float* b, float* c, const float* gram = nullptr) {
    multiply(square(a), square(b), c, side_, side_, side_, gram);
  }

  // Leaves the product of the factors of all iterations in w_.product.
  void accumulate_factors() {
    for (int i = 0; i < args_.iterations; ++i) {
      multiply_squares(w_.gram, w_.gram, i == 0 ? w_.product : w_.factor, w_.gram);
      const float* const factor = i == 0 ? w_.product : w_.factor;
      if (i > 0) multiply_squares(factor, w_.product, w_.next);
      if (i + 1 < args_.iterations) {
        multiply_squares(factor, w_.gram, w_.square);
        multiply_squares(factor, w_.square, w_.gram);
      }
      if (i > 0) std::swap(w_.product, w_.next);
    }
  }

  const MuonUpdate& args_;
  const LaunchSite& site_;
  MuonWorkspace w_;
  int side_;
};

}  // namespace

void muon_update(const MuonUpdate& args, Stream stream) {
  check_args(args);
  check(args.workspace != nullptr, "muon_update", "there is no workspace; give it muon_update_workspace(args) bytes");
  Launches(args, stream).run();
}

std::size_t muon_update_workspace(const MuonUpdate& args) {
  return layout_of(args).bytes;
}

}  // namespace rook::ROOK_GPU
