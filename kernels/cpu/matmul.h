// A product of matrices in f32, for the optimizer.
#pragma once

#include <cstdint>

namespace rook::cpu {

enum class Product : std::uint8_t {
  any,
  symmetric  // known to be: one triangle is computed and mirrored
};

// c [m, n] = a^T b, of a [k, m] and b [k, n], all dense. The order of the sums does not depend on the number of
// threads.
void multiply_transposed(const float* a, const float* b, float* c, std::int64_t m, std::int64_t n, std::int64_t k,
                         Product product = Product::any);

}  // namespace rook::cpu
