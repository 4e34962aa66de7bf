// Marks functions that kernels call too. The only place that decides how: empty for a host compiler; the build of the
// CUDA part defines it for all of its files, on the command line, as `__host__ __device__`.
#pragma once

#ifndef ROOK_HOST_DEVICE
#define ROOK_HOST_DEVICE
#endif
