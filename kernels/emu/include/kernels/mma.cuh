// The emulator's stand-in for kernels/mma.cuh, with the same functions: see there. Fragments are laid out as the PTX
// ISA says for mma.m16n8k16 and ldmatrix.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "kernels/emu/tensor.h"
#include "kernels/target.h"

namespace rook::ROOK_GPU {

// d[16x8] += a[16x16] b[16x8] by the 32 threads of a warp: products exact, sums in f32, k ascending.
template <class T>
void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                  const Where& where = Where::current()) {
  static_assert(std::is_same_v<T, __nv_bfloat16> || std::is_same_v<T, __half>);
  machine::Fragments mine{d, a, b};
  machine::meet_warp({"mma_m16n8k16", where}, 0xffffffffu, &mine, machine::complete_mma<T>);
}

inline void ldmatrix_x1(std::uint32_t (&d)[1], const void* row, const Where& where = Where::current()) {
  machine::load_matrices<1, false>({"ldmatrix_x1", where}, d, row);
}
inline void ldmatrix_x2(std::uint32_t (&d)[2], const void* row, const Where& where = Where::current()) {
  machine::load_matrices<2, false>({"ldmatrix_x2", where}, d, row);
}
inline void ldmatrix_x4(std::uint32_t (&d)[4], const void* row, const Where& where = Where::current()) {
  machine::load_matrices<4, false>({"ldmatrix_x4", where}, d, row);
}
inline void ldmatrix_x1_trans(std::uint32_t (&d)[1], const void* row, const Where& where = Where::current()) {
  machine::load_matrices<1, true>({"ldmatrix_x1_trans", where}, d, row);
}
inline void ldmatrix_x2_trans(std::uint32_t (&d)[2], const void* row, const Where& where = Where::current()) {
  machine::load_matrices<2, true>({"ldmatrix_x2_trans", where}, d, row);
}
inline void ldmatrix_x4_trans(std::uint32_t (&d)[4], const void* row, const Where& where = Where::current()) {
  machine::load_matrices<4, true>({"ldmatrix_x4_trans", where}, d, row);
}

// The destination is poison until cp_async_wait. Throws Error for misaligned ends and a destination that is not shared.
template <int Bytes>
void cp_async(void* shared, const void* global, bool valid = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  machine::copy_async(shared, global, Bytes, valid);
}
inline void cp_async_commit() {
  machine::copy_async_commit();
}
template <int Pending>
void cp_async_wait() {
  machine::copy_async_wait(Pending);
}

}  // namespace rook::ROOK_GPU
