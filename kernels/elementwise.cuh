// Operations on tensors of one shape, element by element: a plan of how the grid walks over them, and the one kernel
// that does. An operation is a struct with kVector, the most elements that it takes at once, and
//   template <int N> __device__ void run(std::int64_t pixel, int channel) const
// for N == kVector and N == 1.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <span>

#include "kernels/device.cuh"
#include "kernels/launch.cuh"

namespace rook::ROOK_GPU {

// Vectors of 16 bytes of the widest of the types.
template <class... T>
inline constexpr int kCommonVector = std::min({kVector<std::remove_const_t<T>>...});

// A tensor in a kernel: T is const where it is only read.
template <class T>
struct View {
  T* data;             // [pixels, pitch]
  std::int64_t pitch;  // elements

  __device__ __forceinline__ T* at(std::int64_t pixel, int channel) const { return data + pixel * pitch + channel; }
};

template <class T>
View<T> view(const Tensor& t) {
  return {t.as<T>(), t.pitch};
}

// Pixels of `columns` vectors each, then `tail` single elements after the last pixel.
struct Walk {
  std::int64_t pixels = 0;
  unsigned columns = 1;
  unsigned tail = 0;
  // What one step of all of the grid's threads comes to, so that no thread divides more than once.
  unsigned step_pixels = 0, step_columns = 0;
};

template <int N, class Operation>
__global__ void __launch_bounds__(256) for_each_vector(Walk walk, Operation operation) {
  const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned column = thread % walk.columns;
  for (std::int64_t pixel = thread / walk.columns; pixel < walk.pixels; pixel += walk.step_pixels) {
    operation.template run<N>(pixel, static_cast<int>(column) * N);
    column += walk.step_columns;
    if (column >= walk.columns) {
      column -= walk.columns;
      ++pixel;
    }
  }
  if constexpr (N > 1) {
    if (thread < walk.tail) operation.template run<1>(walk.pixels, static_cast<int>(thread));
  }
}

// ---------------------------------------------------------------------------------------------------- launching

// How tensors of one shape are walked over.
struct Plan {
  int vector = 1;     // elements at once
  bool flat = false;  // every vector is a pixel of its own
  Walk walk;
  Grid grid;
};

inline bool is_aligned(const Tensor& t) {
  return reinterpret_cast<std::uintptr_t>(t.data) % 16 == 0;
}

// Whether the vectors of a pixel begin at multiples of their size, and none is cut.
inline bool fits_vectors(const Tensor& t, int vector) {
  return t.c % vector == 0 && t.pitch % vector == 0 && is_aligned(t);
}

inline Plan plan_walk(int vector, bool flat, std::int64_t pixels, int columns, std::int64_t tail) {
  constexpr int kThreads = 256, kMostBlocks = 1024;  // what an H100 holds at once
  Plan plan{.vector = vector, .flat = flat};
  plan.grid = {.blocks = blocks_for(pixels * columns, kThreads, kMostBlocks), .threads = kThreads};
  const unsigned step = plan.grid.blocks.x * kThreads;
  plan.walk = {.pixels = pixels,
               .columns = static_cast<unsigned>(columns),
               .tail = static_cast<unsigned>(tail),
               .step_pixels = step / static_cast<unsigned>(columns),
               .step_columns = step % static_cast<unsigned>(columns)};
  return plan;
}

// For operations that want to know the pixel and the channel. The first tensor says how many there are.
inline Plan plan_pixels(int vector, std::span<const Tensor> tensors) {
  const Tensor& first = tensors[0];
  const bool fits = std::all_of(tensors.begin(), tensors.end(), [&](auto& t) { return fits_vectors(t, vector); });
  if (!fits) vector = 1;
  return plan_walk(vector, false, first.pixels(), first.c / vector, 0);
}

// For operations that do not: where all tensors are dense, the channels need not be a multiple of the vector.
inline Plan plan_elements(int vector, std::span<const Tensor> tensors) {
  const Tensor& first = tensors[0];
  const bool flat = std::all_of(tensors.begin(), tensors.end(),
                                [&](auto& t) { return t.dense() && t.c == first.c && is_aligned(t); });
  if (!flat) return plan_pixels(vector, tensors);
  return plan_walk(vector, true, first.elements() / vector, 1, first.elements() % vector);
}

inline Plan plan_pixels(int vector, std::initializer_list<Tensor> tensors) {
  return plan_pixels(vector, std::span(tensors.begin(), tensors.size()));
}
inline Plan plan_elements(int vector, std::initializer_list<Tensor> tensors) {
  return plan_elements(vector, std::span(tensors.begin(), tensors.size()));
}

// Becomes the View<T> of a tensor that an operation asks for.
struct PlannedTensor {
  void* data;
  std::int64_t pitch;
  template <class T>
  operator View<T>() const {  // NOLINT: implicit on purpose
    return {static_cast<T*>(data), pitch};
  }
};
inline PlannedTensor view(const Plan& plan, const Tensor& t) {
  return {t.data, plan.flat ? plan.vector : t.pitch};
}

template <class Operation>
void for_each_element(const LaunchSite& site, const Plan& plan, const Operation& operation) {
  if (plan.vector == 1) {
    launch(site, plan.grid, for_each_vector<1, Operation>, plan.walk, operation);
  } else {
    launch(site, plan.grid, for_each_vector<Operation::kVector, Operation>, plan.walk, operation);
  }
}

}  // namespace rook::ROOK_GPU
