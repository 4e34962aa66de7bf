// Tensor cores and asynchronous copies: the only inline PTX. The emulator has its own version of this file. Fragment
// layouts are those of the PTX ISA, "Matrix Fragments for mma.m16n8k16" (sections on .f16 and .bf16): with
// group = lane / 4 and pair = lane % 4,
//   a[0]: row group,     columns 2 pair, 2 pair + 1       a[1]: row group + 8, the same columns
//   a[2]: row group,     columns 2 pair + 8, + 9          a[3]: row group + 8, the same columns
//   b[0]: rows 2 pair, 2 pair + 1, column group           b[1]: rows 2 pair + 8, + 9, column group
//   d[0], d[1]: row group, columns 2 pair, 2 pair + 1     d[2], d[3]: row group + 8, the same columns
// Two 16-bit elements a register, the lower index in the lower half.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "kernels/target.h"

namespace rook::ROOK_GPU {

// d[16x8] += a[16x16] b[16x8] by the 32 threads of a warp, in f32. T is the type of a and b.
template <class T>
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    static_assert(std::is_same_v<T, __half>);
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}

namespace detail {
__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}
}  // namespace detail

// Reads 8x8 matrices of 16-bit elements from shared memory: lane 8 m + r names row r of matrix m (16 bytes, aligned);
// afterwards register m of a lane holds elements 2 (lane % 4), + 1 of row lane / 4 of matrix m. `_trans`: of the
// transposed matrix. x2 takes the rows of lanes 0-15, x1 of lanes 0-7; the other lanes' pointers must be valid too.
__device__ __forceinline__ void ldmatrix_x1(std::uint32_t (&d)[1], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
               : "=r"(d[0])
               : "r"(detail::shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2(std::uint32_t (&d)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(d[0]), "=r"(d[1])
               : "r"(detail::shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&d)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(detail::shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x1_trans(std::uint32_t (&d)[1], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
               : "=r"(d[0])
               : "r"(detail::shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(std::uint32_t (&d)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(d[0]), "=r"(d[1])
               : "r"(detail::shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(std::uint32_t (&d)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(detail::shared_address(row))
               : "memory");
}

// Copies Bytes (4, 8 or 16, both ends aligned to it) from global to shared memory on the side; zeros when not `valid`
// (`global` is then not read, but must be a pointer into memory of the device). May be read after cp_async_wait and,
// by other threads, after a barrier behind it.
template <int Bytes>
__device__ __forceinline__ void cp_async(void* shared, const void* global, bool valid = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  const int read = valid ? Bytes : 0;
  if constexpr (Bytes == 16) {  // past the first-level cache
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(detail::shared_address(shared)), "l"(global), "r"(read)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                 :
                 : "r"(detail::shared_address(shared)), "l"(global), "n"(Bytes), "r"(read)
                 : "memory");
  }
}

// The copies since the last commit become one group.
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until at most `Pending` groups of this thread are under way.
template <int Pending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

}  // namespace rook::ROOK_GPU
