// A product of matrices in f32, for the optimizer.
#pragma once

#include <cstdint>

namespace rook::cpu {

enum class Product : std::uint8_t {
  any,
  symmetric  // known to be: one triangle is computed and mirrored
};

// A factor as it lies in memory, row by row, or the transpose of what lies there.
struct Factor {
  const float* data;
  bool is_transposed = false;
};
inline Factor transposed(const float* data) {
  return {data, true};
}

// c [m, n] = a b, of a [m, k] and b [k, n] (what lies there is [k, m] and [n, k] where it is transposed), all dense.
// The order of the sums does not depend on the number of threads.
void multiply(Factor a, Factor b, float* c, std::int64_t m, std::int64_t n, std::int64_t k,
              Product product = Product::any);

}  // namespace rook::cpu
