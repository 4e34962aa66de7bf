#include "kernels/conv.h"

#include <fmt/format.h>

#include "base/error.h"

namespace rook {

const char* name_of(ConvDirection direction) {
  switch (direction) {
    case ConvDirection::fprop:
      return "fprop";
    case ConvDirection::dgrad:
      return "dgrad";
    case ConvDirection::wgrad:
      return "wgrad";
  }
  return "?";
}

void check_conv(const ConvProblem& problem, const ConvArgs& args) {
  const ConvGeometry& g = problem.geometry;
  if (g.groups < 1 || g.c % g.groups != 0 || g.k % g.groups != 0)
    throw Error(
        fmt::format("convolution: {} groups do not divide {} input and {} output channels", g.groups, g.c, g.k));
  const auto matches = [&](const Tensor& t, DType dtype, int h, int w, int c) {
    return t.data && t.dtype == dtype && t.n == problem.n && t.h == h && t.w == w && t.c == c && t.dense();
  };
  if (!matches(args.x, problem.x, problem.h, problem.w, g.c))
    throw Error(fmt::format("convolution {}: x is not a dense {} tensor [{},{},{},{}]", name_of(problem.direction),
                            name_of(problem.x), problem.n, problem.h, problem.w, g.c));
  if (!matches(args.y, problem.y, problem.p(), problem.q(), g.k))
    throw Error(fmt::format("convolution {}: y is not a dense {} tensor [{},{},{},{}]", name_of(problem.direction),
                            name_of(problem.y), problem.n, problem.p(), problem.q(), g.k));
  const bool has_weights =
      problem.direction == ConvDirection::wgrad ? args.dweights != nullptr : args.weights != nullptr;
  if (!has_weights) throw Error(fmt::format("convolution {}: no weights", name_of(problem.direction)));
}

}  // namespace rook
