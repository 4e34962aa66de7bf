// Operations on tensors of one shape, element by element: a plan of how the grid walks over them, and the one kernel
// that does. An operation is a struct with kVector, the most elements that it takes at once, and
//   template <int N> __device__ void run(std::int64_t pixel, int channel) const
// for N == kVector and N == 1.
#pragma once

#include <algorithm>
#include <initializer_list>

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

// How tensors of one shape are walked over. Where all are dense, every vector is a pixel of its own.
struct Plan {
  int vector = 1;  // elements at once
  bool flat = false;
  Walk walk;
  Grid grid;
};

// `channels` is a multiple of the vector in every pixel; all pixels of all tensors begin at 16 bytes.
inline bool fits_vectors(const Tensor& t, int vector) {
  return t.c % vector == 0 && t.pitch % vector == 0 && reinterpret_cast<std::uintptr_t>(t.data) % 16 == 0;
}

inline Plan plan_elements(int vector, std::initializer_list<const Tensor*> tensors) {
  constexpr int kThreads = 256, kMostBlocks = 1024;  // what an H100 holds at once
  const Tensor& first = **tensors.begin();
  Plan plan;
  plan.flat = std::all_of(tensors.begin(), tensors.end(), [](const Tensor* t) {
    return t->dense() && reinterpret_cast<std::uintptr_t>(t->data) % 16 == 0;
  });
  const bool vectors = plan.flat || std::all_of(tensors.begin(), tensors.end(),
                                                [&](const Tensor* t) { return fits_vectors(*t, vector); });
  plan.vector = vectors ? vector : 1;
  plan.walk.pixels = plan.flat ? first.elements() / vector : first.pixels();
  plan.walk.columns = plan.flat ? 1 : static_cast<unsigned>(first.c / plan.vector);
  plan.walk.tail = plan.flat ? static_cast<unsigned>(first.elements() % vector) : 0;
  plan.grid = {.blocks = blocks_for(plan.walk.pixels * plan.walk.columns, kThreads, kMostBlocks), .threads = kThreads};
  const unsigned step = plan.grid.blocks.x * kThreads;
  plan.walk.step_pixels = step / plan.walk.columns;
  plan.walk.step_columns = step % plan.walk.columns;
  return plan;
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
