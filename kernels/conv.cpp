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

std::size_t ConvProblemHash::operator()(const ConvProblem& p) const {
  std::size_t hash = 1469598103934665603u;  // FNV-1a
  const ConvGeometry& g = p.geometry;
  for (const int v : {static_cast<int>(p.direction),
                      p.n,
                      p.h,
                      p.w,
                      static_cast<int>(p.x),
                      static_cast<int>(p.y),
                      static_cast<int>(p.bias),
                      static_cast<int>(p.activation),
                      g.c,
                      g.k,
                      g.r,
                      g.s,
                      g.stride_h,
                      g.stride_w,
                      g.pad_h,
                      g.pad_w,
                      g.dilation,
                      g.groups,
                      p.pitch_x,
                      p.pitch_y})
    hash = (hash ^ static_cast<std::size_t>(v)) * 1099511628211u;
  return hash;
}

std::string describe(const ConvProblem& p) {
  const ConvGeometry& g = p.geometry;
  std::string text =
      fmt::format("{} {}x{}x{} > {}, {}x{}/{}", name_of(p.direction), p.w, p.h, g.c, g.k, g.s, g.r, g.stride_w);
  if (g.stride_h != g.stride_w) text += fmt::format("x{}", g.stride_h);
  if (g.dilation != 1) text += fmt::format(", dilation {}", g.dilation);
  if (g.groups != 1) text += fmt::format(", {} groups", g.groups);
  text += fmt::format(", batch {}, {}", p.n, name_of(p.x));
  if (p.y != p.x) text += fmt::format(" to {}", name_of(p.y));
  if (!p.dense()) text += fmt::format(", pixels {} and {} apart", p.x_pitch(), p.y_pitch());
  if (p.activation != Activation::linear) text += fmt::format(", {}", name_of(p.activation));
  return text;
}

void check_conv(const ConvProblem& problem, const ConvArgs& args) {
  const ConvGeometry& g = problem.geometry;
  if (g.groups < 1 || g.c % g.groups != 0 || g.k % g.groups != 0)
    throw Error(
        fmt::format("convolution: {} groups do not divide {} input and {} output channels", g.groups, g.c, g.k));
  if (problem.x_pitch() < g.c || problem.y_pitch() < g.k)
    throw Error(fmt::format("convolution: pixels of {} and {} channels cannot be {} and {} elements apart", g.c, g.k,
                            problem.x_pitch(), problem.y_pitch()));
  const auto matches = [&](const Tensor& t, DType dtype, int h, int w, int c, int pitch) {
    return t.data && t.dtype == dtype && t.n == problem.n && t.h == h && t.w == w && t.c == c && t.pitch == pitch;
  };
  if (!matches(args.x, problem.x, problem.h, problem.w, g.c, problem.x_pitch()))
    throw Error(fmt::format("convolution {}: x is not a {} tensor [{},{},{},{}] of pitch {}",
                            name_of(problem.direction), name_of(problem.x), problem.n, problem.h, problem.w, g.c,
                            problem.x_pitch()));
  if (!matches(args.y, problem.y, problem.p(), problem.q(), g.k, problem.y_pitch()))
    throw Error(fmt::format("convolution {}: y is not a {} tensor [{},{},{},{}] of pitch {}",
                            name_of(problem.direction), name_of(problem.y), problem.n, problem.p(), problem.q(), g.k,
                            problem.y_pitch()));
  const bool has_weights =
      problem.direction == ConvDirection::wgrad ? args.dweights != nullptr : args.weights != nullptr;
  if (!has_weights) throw Error(fmt::format("convolution {}: no weights", name_of(problem.direction)));
}

}  // namespace rook
