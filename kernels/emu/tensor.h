// Tensor-core operations as meetings of a warp.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/emu/bf16.h"
#include "kernels/emu/fp16.h"
#include "kernels/emu/machine.h"

namespace rook::emu::machine {

// What a lane brings to mma.m16n8k16. Element (row, column) of a fragment is, with group = lane / 4, pair = lane % 4:
//   a[i], half h: row group + 8 (i % 2), column 2 pair + h + 8 (i / 2)
//   b[i], half h: row 2 pair + h + 8 i, column group
//   d[i]: row group + 8 (i / 2), column 2 pair + i % 2
struct Fragments {
  float* d;                // [4]
  const std::uint32_t* a;  // [4]
  const std::uint32_t* b;  // [2]
};

// Throws Error unless the whole warp came.
void require_full_warp(const char* operation, unsigned lanes);

// d[row 16][column 8] += a[row][k 16] b[k][column]
void multiply(float (&d)[16][8], const float (&a)[16][16], const float (&b)[16][8]);

inline float element(std::uint32_t pair, unsigned half, const __nv_bfloat16*) {
  return __nv_bfloat16(__nv_bfloat16_raw{static_cast<unsigned short>(pair >> (16 * half))});
}
inline float element(std::uint32_t pair, unsigned half, const __half*) {
  return __half(__half_raw{static_cast<unsigned short>(pair >> (16 * half))});
}

template <class T>
void complete_mma(unsigned lanes, void* const* payloads) {
  require_full_warp("mma_m16n8k16", lanes);
  constexpr T* kType = nullptr;
  float a[16][16];
  float b[16][8];
  float d[16][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const auto& f = *static_cast<const Fragments*>(payloads[lane]);
    const unsigned group = lane / 4;
    const unsigned pair = lane % 4;
    for (unsigned h = 0; h < 2; ++h) {
      for (unsigned i = 0; i < 4; ++i) a[group + 8 * (i % 2)][2 * pair + h + 8 * (i / 2)] = element(f.a[i], h, kType);
      for (unsigned i = 0; i < 2; ++i) b[2 * pair + h + 8 * i][group] = element(f.b[i], h, kType);
    }
    for (unsigned i = 0; i < 4; ++i) d[group + 8 * (i / 2)][2 * pair + i % 2] = f.d[i];
  }
  multiply(d, a, b);
  for (unsigned lane = 0; lane < 32; ++lane) {
    const auto& f = *static_cast<const Fragments*>(payloads[lane]);
    for (unsigned i = 0; i < 4; ++i) f.d[i] = d[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
  }
}

// What a lane brings to ldmatrix: a row of eight 16-bit elements (lane 8 m + r: row r of matrix m), and where its
// registers are.
struct MatrixRow {
  std::uint16_t element[8];
  std::uint32_t* d;
};

// Register m: elements 2 (lane % 4), + 1 of row lane / 4 of matrix m, or of its transpose.
template <int Count, bool Transposed>
void complete_matrices(unsigned lanes, void* const* payloads) {
  require_full_warp("ldmatrix", lanes);
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned row = lane / 4;
    const unsigned column = 2 * (lane % 4);
    for (unsigned m = 0; m < Count; ++m) {
      const auto at = [&](unsigned r, unsigned c) {
        return std::uint32_t{static_cast<const MatrixRow*>(payloads[8 * m + r])->element[c]};
      };
      static_cast<MatrixRow*>(payloads[lane])->d[m] =
          Transposed ? at(column, row) | at(column + 1, row) << 16 : at(row, column) | at(row, column + 1) << 16;
    }
  }
}

// Throws Error when `row` is not a multiple of 16 in shared memory.
void check_row(const Site& site, const void* row);

template <int Count, bool Transposed>
void load_matrices(const Site& site, std::uint32_t* d, const void* row) {
  check_row(site, row);
  MatrixRow mine{{}, d};
  if (lane() < 8 * Count) std::memcpy(mine.element, row, sizeof(mine.element));
  meet_warp(site, 0xffffffffu, &mine, complete_matrices<Count, Transposed>);
}

}  // namespace rook::emu::machine
