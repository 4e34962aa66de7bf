// The optimizer over the flat arrays of parameters (formulas: kernels/update.h, kernels/step.h). Blocks take chunks of
// the array and look the segments of each up in the list, which is sorted; what changes from step to step they read
// from the device's memory. How long the array is only the list knows, so the grid does not depend on it.
#include <limits>

#include "kernels/check.h"
#include "kernels/device.cuh"
#include "kernels/launch.cuh"
#include "kernels/shared.cuh"
#include "kernels/step.h"
#include "kernels/update.h"

namespace rook::ROOK_GPU {
namespace {

constexpr int kStepThreads = 256;
constexpr int kBlocks = 512;  // enough for any device, and part of the order in which a norm is summed
constexpr int kWidth = 4;     // floats read at once
constexpr std::int64_t kChunk = 16 * kStepThreads;  // elements

struct Segments {
  const ParamSegment* list;  // [count], ascending, without overlap
  int count;
};

Segments segments_of(std::span<const ParamSegment> segments) {
  return {segments.data(), static_cast<int>(segments.size())};
}

// The first segment from `first` on that ends behind element `at`.
__device__ __forceinline__ int find_segment(const Segments& segments, int first, std::int64_t at) {
  int last = segments.count;
  while (first < last) {
    const int middle = (first + last) / 2;
    if (segments.list[middle].end > at) {
      last = middle;
    } else {
      first = middle + 1;
    }
  }
  return first;
}

// Calls f(Width, i) for the elements of [begin, end) that are this thread's: kWidth of them from i on, or one.
template <class F>
__device__ __forceinline__ void for_elements(std::int64_t begin, std::int64_t end, bool vectors, F f) {
  const std::int64_t aligned = begin / kWidth * kWidth;
  for (std::int64_t i = aligned + threadIdx.x * kWidth; i < end; i += kStepThreads * kWidth) {
    if (vectors && i >= begin && i + kWidth <= end) {
      f(std::integral_constant<int, kWidth>{}, i);
    } else {
      for (std::int64_t one = i < begin ? begin : i; one < end && one < i + kWidth; ++one)
        f(std::integral_constant<int, 1>{}, one);
    }
  }
}

// Calls f(segment, begin, end) for the parts of this block's chunks that are trained, in order.
template <class F>
__device__ __forceinline__ void for_parts(const Segments& segments, F f) {
  const std::int64_t end = segments.count > 0 ? segments.list[segments.count - 1].end : 0;
  int first = 0;
  for (std::int64_t low = blockIdx.x * kChunk; low < end; low += kBlocks * kChunk) {
    const std::int64_t high = low + kChunk;
    first = find_segment(segments, first, low);
    for (int s = first; s < segments.count && segments.list[s].begin < high; ++s) {
      const ParamSegment& segment = segments.list[s];
      if (segment.lr_scale == 0) continue;
      f(s, segment.begin > low ? segment.begin : low, segment.end < high ? segment.end : high);
    }
  }
}

bool are_aligned(std::initializer_list<const void*> arrays) {
  return std::all_of(arrays.begin(), arrays.end(),
                     [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; });
}

// ---- norm of the gradient: a sum per block, then the sum of the blocks, both in an order that is always the same

struct PartialNorm {
  double sum;
  std::int32_t bad;  // the last segment that is not finite, -1 without
};

struct NormShared {
  WarpResults<double> sums;
  WarpResults<std::int32_t> bad;
};

// The block's result, in every thread.
__device__ __forceinline__ PartialNorm reduce_norm(double sum, std::int32_t bad) {
  auto& shared = block_shared<NormShared>();
  return {block_sum(sum, shared.sums), block_reduce<Max>(bad, shared.bad, -1)};
}

// gradient [arena], partials [kBlocks]
__global__ void __launch_bounds__(kStepThreads)
    partial_norm_kernel(const float* gradient, Segments segments, PartialNorm* partials, bool vectors) {
  double sum = 0;
  std::int32_t bad = -1;
  for_parts(segments, [&](int segment, std::int64_t begin, std::int64_t end) {
    for_elements(begin, end, vectors, [&](auto width, std::int64_t i) {
      float values[width.value];
      load_floats<width.value>(gradient + i, values);
#pragma unroll
      for (int k = 0; k < width.value; ++k) {
        sum += double{values[k]} * values[k];
        const bool finite = std::abs(values[k]) <= std::numeric_limits<float>::max();
        if (!finite) bad = segment;
      }
    });
  });
  const PartialNorm result = reduce_norm(sum, bad);
  if (threadIdx.x == 0) partials[blockIdx.x] = result;
}

__global__ void __launch_bounds__(kStepThreads)
    total_norm_kernel(const PartialNorm* partials, double* sum_of_squares, std::int32_t* bad_segment) {
  double sum = 0;
  std::int32_t bad = -1;
  for (int i = static_cast<int>(threadIdx.x); i < kBlocks; i += kStepThreads) {
    sum += partials[i].sum;
    bad = max(bad, partials[i].bad);
  }
  const PartialNorm result = reduce_norm(sum, bad);
  if (threadIdx.x == 0) {
    *sum_of_squares = result.sum;
    *bad_segment = result.bad;
  }
}

// ---- updates

__global__ void __launch_bounds__(kStepThreads) sgd_kernel(SgdUpdate given, Segments segments, bool vectors) {
  if (is_spoilt(given.step)) return;
  const SgdUpdate args = with_step(given);
  for_parts(segments, [&](int segment, std::int64_t begin, std::int64_t end) {
    const SgdRates rates = rates_of(args, segments.list[segment]);
    for_elements(begin, end, vectors, [&](auto width, std::int64_t i) {
      constexpr int kN = width.value;
      float w[kN], g[kN], v[kN];
      load_floats<kN>(args.weights + i, w);
      load_floats<kN>(args.gradient + i, g);
      load_floats<kN>(args.velocity + i, v);
#pragma unroll
      for (int k = 0; k < kN; ++k) {
        v[k] = sgd_velocity(rates, w[k], g[k], v[k]);
        w[k] = sgd_weight(rates, w[k], v[k]);
      }
      store_floats<kN>(args.velocity + i, v);
      store_floats<kN>(args.weights + i, w);
    });
  });
}

struct Corrections {
  float first, second;
};

__global__ void __launch_bounds__(kStepThreads) adamw_kernel(AdamWUpdate given, Segments segments, bool vectors) {
  const AdamWUpdate args = with_step(given);
  auto& corrections = block_shared<Corrections>();
  if (threadIdx.x == 0) {
    const double step = static_cast<double>(args.optimizer_step);
    corrections.first = static_cast<float>(1 / (1 - std::pow(double{args.beta1}, step)));
    corrections.second = static_cast<float>(1 / (1 - std::pow(double{args.beta2}, step)));
  }
  __syncthreads();
  if (is_spoilt(given.step)) return;
  const AdamWRates common = rates_of(args, corrections.first, corrections.second);
  for_parts(segments, [&](int segment, std::int64_t begin, std::int64_t end) {
    const AdamWRates rates = rates_of(common, args, segments.list[segment]);
    for_elements(begin, end, vectors, [&](auto width, std::int64_t i) {
      constexpr int kN = width.value;
      float w[kN], g[kN], m[kN], v[kN];
      load_floats<kN>(args.weights + i, w);
      load_floats<kN>(args.gradient + i, g);
      load_floats<kN>(args.m + i, m);
      load_floats<kN>(args.v + i, v);
#pragma unroll
      for (int k = 0; k < kN; ++k) {
        m[k] = adamw_m(rates, m[k], g[k]);
        v[k] = adamw_v(rates, v[k], g[k]);
        w[k] = adamw_weight(rates, w[k], m[k], std::sqrt(rates.correct2 * v[k]));
      }
      store_floats<kN>(args.m + i, m);
      store_floats<kN>(args.v + i, v);
      store_floats<kN>(args.weights + i, w);
    });
  });
}

__global__ void __launch_bounds__(kStepThreads) ema_kernel(EmaUpdate given, bool vectors) {
  if (is_spoilt(given.step)) return;
  const float decay = with_step(given).decay;
  for (std::int64_t low = blockIdx.x * kChunk; low < given.count; low += gridDim.x * kChunk) {
    const std::int64_t high = low + kChunk;
    for_elements(low, high < given.count ? high : given.count, vectors, [&](auto width, std::int64_t i) {
      constexpr int kN = width.value;
      float average[kN], value[kN];
      load_floats<kN>(given.average + i, average);
      load_floats<kN>(given.value + i, value);
#pragma unroll
      for (int k = 0; k < kN; ++k) average[k] = ema_value(decay, average[k], value[k]);
      store_floats<kN>(given.average + i, average);
    });
  }
}

__global__ void advance_kernel(AdvanceStep args) {
  advance(args, *args.step);
}

__global__ void limit_kernel(LimitGradient args) {
  limit(args, std::sqrt(*args.sum_of_squares), *args.step);
}

}  // namespace

// The list of segments is in the device's memory, so that kernels/check.h cannot look at it.

void gradient_norm(const GradientNorm& args, Stream stream) {
  const char* const operation = "gradient_norm";
  check(args.gradient && args.sum_of_squares && args.bad_segment, operation, "a parameter pointer is null");
  check(args.workspace != nullptr, operation, "there is no workspace; give it gradient_norm_workspace(args) bytes");
  auto* const partials = static_cast<PartialNorm*>(args.workspace);
  launch(stream, {.blocks = kBlocks, .threads = kStepThreads}, partial_norm_kernel, args.gradient,
         segments_of(args.segments), partials, are_aligned({args.gradient}));
  launch(stream, {.threads = kStepThreads}, total_norm_kernel, partials, args.sum_of_squares, args.bad_segment);
}

std::size_t gradient_norm_workspace(const GradientNorm&) {
  return kBlocks * sizeof(PartialNorm);
}

void sgd_update(const SgdUpdate& args, Stream stream) {
  check(args.weights && args.gradient && args.velocity, "sgd_update", "a parameter pointer is null");
  launch(stream, {.blocks = kBlocks, .threads = kStepThreads}, sgd_kernel, args, segments_of(args.segments),
         are_aligned({args.weights, args.gradient, args.velocity}));
}

void adamw_update(const AdamWUpdate& args, Stream stream) {
  check(args.weights && args.gradient && args.m && args.v, "adamw_update", "a parameter pointer is null");
  check(args.step || args.optimizer_step >= 1, "adamw_update", "steps count from 1");
  launch(stream, {.blocks = kBlocks, .threads = kStepThreads}, adamw_kernel, args, segments_of(args.segments),
         are_aligned({args.weights, args.gradient, args.m, args.v}));
}

void ema_update(const EmaUpdate& args, Stream stream) {
  check_args(args);
  launch(stream, {.blocks = blocks_for(args.count, kChunk, kBlocks), .threads = kStepThreads}, ema_kernel, args,
         are_aligned({args.average, args.value}));
}

void advance_step(const AdvanceStep& args, Stream stream) {
  check_args(args);
  launch(stream, {}, advance_kernel, args);
}

void limit_gradient(const LimitGradient& args, Stream stream) {
  check_args(args);
  launch(stream, {}, limit_kernel, args);
}

}  // namespace rook::ROOK_GPU
