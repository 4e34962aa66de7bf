#include "kernels/emu/tensor.h"

#include <fmt/core.h>

#include "base/error.h"

namespace rook::emu::machine {

void require_full_warp(const char* operation, unsigned lanes) {
  if (lanes != 0xffffffffu)
    throw Error(
        fmt::format("{} needs all 32 threads of the warp; only lanes {:#010x} have not exited", operation, lanes));
}

void multiply(float (&d)[16][8], const float (&a)[16][16], const float (&b)[16][8]) {
  for (int row = 0; row < 16; ++row) {
    float sum[8];
    for (int column = 0; column < 8; ++column) sum[column] = d[row][column];
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 8; ++column) sum[column] += a[row][k] * b[k][column];
    }
    for (int column = 0; column < 8; ++column) d[row][column] = sum[column];
  }
}

void check_row(const Site& site, const void* row) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0 || !is_shared(row, 16))
    throw Error(fmt::format("{} ({}:{}): row {} is not 16 aligned bytes of shared memory", site.operation,
                            site.where.file_name(), site.where.line(), row));
}

}  // namespace rook::emu::machine
