// Convolution in its plainest form, accumulated in double: what every other row is compared with.
#include <algorithm>
#include <array>
#include <vector>

#include "kernels/conv.h"
#include "kernels/ref/activation.h"
#include "kernels/ref/element.h"

namespace rook::ref {
namespace {

// The elements in the dense order (n, h, w, c). Converted once, since each of them is read many times.
std::vector<double> values_of(const Tensor& t) {
  const Elements elements(t);
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(t.elements()));
  for_each_element(t, [&](int n, int h, int w, int c) { values.push_back(elements.get(n, h, w, c)); });
  return values;
}

// Writes value(i) to element i of the dense order, or adds it to what is there.
template <class Value>
void put_values(const Tensor& t, Grad mode, Value value) {
  const Elements elements(t);
  std::int64_t i = 0;
  for_each_element(t, [&](int n, int h, int w, int c) { elements.put(n, h, w, c, value(i++), mode); });
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
  const std::vector<double> x = values_of(args.x);
  std::vector<double> sum(static_cast<std::size_t>(args.y.elements()));
  for_each_tap(problem, [&](std::int64_t out, std::int64_t in, int tap) {
    for (int k = 0; k < g.k; ++k) {
      const double* from = x.data() + in * g.c + k / kg * cg;
      const float* by = weights + (std::int64_t{k} * g.r * g.s + tap) * cg;
      double products = 0;
      for (int c = 0; c < cg; ++c) products += from[c] * by[c];
      sum[out * g.k + k] += products;
    }
  });
  put_values(args.y, Grad::overwrite,
             [&](std::int64_t i) { return act(problem.activation, sum[i] + (args.bias ? args.bias[i % g.k] : 0.0f)); });
}

void dgrad(const ConvProblem& problem, const ConvArgs& args) {
  const ConvGeometry& g = problem.geometry;
  const int cg = g.c / g.groups, kg = g.k / g.groups;
  const float* weights = static_cast<const float*>(args.weights);
  const std::vector<double> dy = values_of(args.y);
  std::vector<double> sum(static_cast<std::size_t>(args.x.elements()));
  for_each_tap(problem, [&](std::int64_t out, std::int64_t in, int tap) {
    for (int k = 0; k < g.k; ++k) {
      double* to = sum.data() + in * g.c + k / kg * cg;
      const float* by = weights + (std::int64_t{k} * g.r * g.s + tap) * cg;
      const double gradient = dy[out * g.k + k];
      for (int c = 0; c < cg; ++c) to[c] += gradient * by[c];
    }
  });
  put_values(args.x, args.mode, [&](std::int64_t i) { return sum[i]; });
}

void wgrad(const ConvProblem& problem, const ConvArgs& args) {
  const ConvGeometry& g = problem.geometry;
  const int cg = g.c / g.groups, kg = g.k / g.groups;
  const std::vector<double> x = values_of(args.x), dy = values_of(args.y);
  std::vector<double> sum(static_cast<std::size_t>(g.weights())), bias_sum(static_cast<std::size_t>(g.k));
  for_each_tap(problem, [&](std::int64_t out, std::int64_t in, int tap) {
    for (int k = 0; k < g.k; ++k) {
      double* to = sum.data() + (std::int64_t{k} * g.r * g.s + tap) * cg;
      const double* by = x.data() + in * g.c + k / kg * cg;
      const double gradient = dy[out * g.k + k];
      for (int c = 0; c < cg; ++c) to[c] += gradient * by[c];
    }
  });
  for (std::int64_t i = 0; i < args.y.elements(); ++i) bias_sum[i % g.k] += dy[i];
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
