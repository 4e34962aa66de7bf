// CUDA's keywords. Without `__shared__`: shared memory is had through kernels/shared.cuh only.
#pragma once

#define __host__
#define __device__
#define __global__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
