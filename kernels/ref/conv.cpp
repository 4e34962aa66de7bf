// Convolution in its plainest form, accumulated in double: what every other row is compared with.
#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"
#include "kernels/bfloat16.h"
#include "kernels/conv.h"
#include "kernels/ref/activation.h"

namespace rook::ref {
namespace {

// Element i of the dense order (n, h, w, c).
std::int64_t place_of(const Tensor& t, std::int64_t i) {
  return i / t.c * t.pitch + i % t.c;
}

double load(const Tensor& t, std::int64_t element) {
  const std::int64_t i = place_of(t, element);
  switch (t.dtype) {
    case DType::f32:
      return t.as<float>()[i];
    case DType::f64:
      return t.as<double>()[i];
    case DType::bf16:
      return bf16_to_float(t.as<std::uint16_t>()[i]);
    default:
      throw Error("ref convolution: f32, f64 or bf16 only");
  }
}

void store(const Tensor& t, std::int64_t element, double value) {
  const std::int64_t i = place_of(t, element);
  switch (t.dtype) {
    case DType::f32:
      t.as<float>()[i] = static_cast<float>(value);
      return;
    case DType::f64:
      t.as<double>()[i] = value;
      return;
    case DType::bf16:
      t.as<std::uint16_t>()[i] = float_to_bf16(static_cast<float>(value));
      return;
    default:
      throw Error("ref convolution: f32, f64 or bf16 only");
  }
}

// Calls visit(output pixel, input pixel, tap) for every tap of every output pixel that lies inside the image.
template <class Visit>
void for_each_tap(const ConvProblem& problem, Visit visit) {
  const ConvGeometry& g = problem.geometry;
  const int p = problem.p(), q = problem.q();
  for (int n = 0; n < problem.n; ++n)
    for (int oy = 0; oy < p; ++oy)
      for (int ox = 0; ox < q; ++ox)
        for (int r = 0; r < g.r; ++r)
          for (int s = 0; s < g.s; ++s) {
            const int iy = oy * g.stride_h + (r - g.pad_h) * g.dilation;
            const int ix = ox * g.stride_w + (s - g.pad_w) * g.dilation;
            if (iy < 0 || iy >= problem.h || ix < 0 || ix >= problem.w) continue;
            visit((std::int64_t{n} * p + oy) * q + ox, (std::int64_t{n} * problem.h + iy) * problem.w + ix,
                  r * g.s + s);
          }
}

void fprop(const ConvProblem& problem, const ConvArgs& args) {
  const ConvGeometry& g = problem.geometry;
  const int cg = g.c / g.groups, kg = g.k / g.groups;
  const float* weights = static_cast<const float*>(args.weights);
  std::vector<double> sum(static_cast<std::size_t>(args.y.elements()));
  for_each_tap(problem, [&](std::int64_t out, std::int64_t in, int tap) {
    for (int k = 0; k < g.k; ++k)
      for (int c = 0; c < cg; ++c)
        sum[out * g.k + k] +=
            load(args.x, in * g.c + k / kg * cg + c) * weights[(std::int64_t{k} * g.r * g.s + tap) * cg + c];
  });
  for (std::int64_t i = 0; i < args.y.elements(); ++i)
    store(args.y, i, act(problem.activation, sum[i] + (args.bias ? args.bias[i % g.k] : 0.0f)));
}

void dgrad(const ConvProblem& problem, const ConvArgs& args) {
  const ConvGeometry& g = problem.geometry;
  const int cg = g.c / g.groups, kg = g.k / g.groups;
  const float* weights = static_cast<const float*>(args.weights);
  std::vector<double> sum(static_cast<std::size_t>(args.x.elements()));
  for_each_tap(problem, [&](std::int64_t out, std::int64_t in, int tap) {
    for (int k = 0; k < g.k; ++k)
      for (int c = 0; c < cg; ++c)
        sum[in * g.c + k / kg * cg + c] +=
            load(args.y, out * g.k + k) * weights[(std::int64_t{k} * g.r * g.s + tap) * cg + c];
  });
  for (std::int64_t i = 0; i < args.x.elements(); ++i)
    store(args.x, i, sum[i] + (args.mode == Grad::accumulate ? load(args.x, i) : 0.0));
}

void wgrad(const ConvProblem& problem, const ConvArgs& args) {
  const ConvGeometry& g = problem.geometry;
  const int cg = g.c / g.groups, kg = g.k / g.groups;
  std::vector<double> sum(static_cast<std::size_t>(g.weights())), bias_sum(static_cast<std::size_t>(g.k));
  for_each_tap(problem, [&](std::int64_t out, std::int64_t in, int tap) {
    for (int k = 0; k < g.k; ++k)
      for (int c = 0; c < cg; ++c)
        sum[(std::int64_t{k} * g.r * g.s + tap) * cg + c] +=
            load(args.y, out * g.k + k) * load(args.x, in * g.c + k / kg * cg + c);
  });
  for (std::int64_t i = 0; i < args.y.elements(); ++i) bias_sum[i % g.k] += load(args.y, i);
  for (std::int64_t i = 0; i < g.weights(); ++i) args.dweights[i] += static_cast<float>(sum[i]);
  if (args.dbias)
    for (int k = 0; k < g.k; ++k) args.dbias[k] += static_cast<float>(bias_sum[k]);
}

void run(const ConvProblem& problem, const ConvArgs& args, Stream) {
  check_conv(problem, args);
  switch (problem.direction) {
    case ConvDirection::fprop:
      return fprop(problem, args);
    case ConvDirection::dgrad:
      return dgrad(problem, args);
    case ConvDirection::wgrad:
      return wgrad(problem, args);
  }
}

void pack(const ConvProblem& problem, const float* weights, void* packed, Stream) {
  std::copy_n(weights, problem.geometry.weights(), static_cast<float*>(packed));
}

constexpr std::array<ConvRow, 1> kRows{{{
    .name = "ref",
    .supports = [](const ConvProblem&) { return true; },
    .workspace = [](const ConvProblem&) { return std::size_t{0}; },
    .packed_bytes =
        [](const ConvProblem& problem) { return static_cast<std::size_t>(problem.geometry.weights()) * sizeof(float); },
    .pack = pack,
    .run = run,
}}};

}  // namespace

std::span<const ConvRow> conv_rows() {
  return kRows;
}

}  // namespace rook::ref
