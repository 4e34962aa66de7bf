// A convolution with its data, run by a row of a GPU's table and by the reference.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tests/gpu.h"
#include "tests/kernels/conv_shapes.h"
#include "tests/support.h"

namespace rook::test {

inline const ConvRow& row_named(const Gpu& gpu, std::string_view name) {
  for (const ConvRow& row : gpu.ops->conv_rows())
    if (row.name == name) return row;
  throw Error(fmt::format("no row {}", name));
}

// Outputs hold NaN, but those that are added to; weights are rounded through the type they are packed in.
struct GpuConv {
  GpuConv(const ConvProblem& p, Grad m, Random& random)
      : problem(p),
        mode(m),
        x(tensor_of_pitch(p.x, p.n, p.h, p.w, p.geometry.c, p.x_pitch())),
        y(tensor_of_pitch(p.y, p.n, p.p(), p.q(), p.geometry.k, p.y_pitch())),
        weights(p.geometry.weights()),
        bias(p.geometry.k),
        dweights(p.geometry.weights()),
        dbias(p.geometry.k) {
    if (p.direction != ConvDirection::dgrad || m == Grad::accumulate) x.fill_uniform(random, -1, 1);
    if (p.direction != ConvDirection::fprop) y.fill_uniform(random, -1, 1);
    weights.fill_uniform(random, -1, 1);
    TestTensor rounded(p.x, 1, 1, 1, 1);
    for (float& weight : weights.span()) {
      rounded.set(0, weight);
      weight = static_cast<float>(rounded.get(0));
    }
    bias.fill_uniform(random, -1, 1);
    dweights.fill_uniform(random, -1, 1);
    dbias.fill_uniform(random, -1, 1);
  }

  ConvArgs args(const void* packed, void* workspace) {
    const bool wgrad = problem.direction == ConvDirection::wgrad;
    return {.x = x,
            .y = y,
            .weights = wgrad ? nullptr : packed,
            .bias = problem.bias ? bias.data() : nullptr,
            .dweights = wgrad ? dweights.data() : nullptr,
            .dbias = wgrad && problem.bias ? dbias.data() : nullptr,
            .mode = mode,
            .workspace = workspace};
  }

  // `poison` is what packed weights and workspace hold before.
  void run(const ConvRow& row, const Gpu& gpu, float poison = NAN) {
    const auto floats = [](std::size_t bytes) { return static_cast<std::int64_t>((bytes + 3) / 4); };
    const bool wgrad = problem.direction == ConvDirection::wgrad;
    TestArray<float> packed(wgrad ? 0 : floats(row.packed_bytes(problem))), workspace(floats(row.workspace(problem)));
    packed.fill(poison);
    workspace.fill(poison);
    if (!wgrad) row.pack(problem, weights.data(), packed.data(), gpu.stream);
    row.run(problem, args(packed.data(), workspace.data()), gpu.stream);
    gpu.finish();
    CHECK_MESSAGE(packed.guards_intact(), "written outside of the packed weights");
    CHECK_MESSAGE(workspace.guards_intact(), "written outside of the workspace");
  }

  // By the reference, with activations in double.
  GpuConv truth() const {
    GpuConv copy = *this;
    copy.problem.x = copy.problem.y = DType::f64;
    copy.x = x.converted(DType::f64);
    copy.y = y.converted(DType::f64);
    ref::conv_rows()[0].run(copy.problem, copy.args(copy.weights.data(), nullptr), {});
    return copy;
  }

  ConvProblem problem;
  Grad mode;
  TestTensor x, y;
  TestArray<float> weights, bias, dweights, dbias;
};

inline bool same_results(const GpuConv& a, const GpuConv& b) {
  return same_bits(a.x, b.x) && same_bits(a.y, b.y) && same_bits(a.dweights, b.dweights) && same_bits(a.dbias, b.dbias);
}

inline double largest(const TestTensor& t) {
  double most = 0;
  for (const double v : t.to_doubles()) most = std::max(most, std::abs(v));
  return most;
}

// A sum of `terms` products of numbers up to 1 in f32, rounded to storage once.
inline Tolerance tolerance_of_sums(DType storage, double terms, double size) {
  const double sum = 2e-7 * std::sqrt(terms) * std::max(1.0, size);
  return {sum, storage == DType::bf16 ? 1.0 / 256 : storage == DType::f16 ? 1.0 / 2048 : 2e-6};
}

// Outputs against the truth, and that nothing else was written.
inline void check_results(const GpuConv& ours, const GpuConv& truth) {
  const ConvProblem& p = ours.problem;
  const double taps = p.geometry.r * p.geometry.s;
  const double pixels = static_cast<double>(p.n) * p.p() * p.q();
  switch (p.direction) {
    case ConvDirection::fprop:
      check_close("y", ours.y, truth.y,
                  tolerance_of_sums(p.y, taps * p.geometry.c / p.geometry.groups, largest(truth.y)));
      break;
    case ConvDirection::dgrad:
      check_close("dx", ours.x, truth.x,
                  tolerance_of_sums(p.x, taps * p.geometry.k / p.geometry.groups, largest(truth.x)));
      break;
    case ConvDirection::wgrad:
      check_close("dweights", ours.dweights, truth.dweights, tolerance_of_sums(DType::f32, pixels, std::sqrt(pixels)));
      check_close("dbias", ours.dbias, truth.dbias, tolerance_of_sums(DType::f32, pixels, std::sqrt(pixels)));
  }
  for (const TestArray<float>* array : {&ours.weights, &ours.bias, &ours.dweights, &ours.dbias})
    CHECK(array->guards_intact());
  CHECK((ours.x.guards_intact() && ours.y.guards_intact()));
}

inline std::string describe_conv(const ConvProblem& p, Grad mode) {
  return fmt::format("{} x {} y {} bias {} {}{}", name_of(p.direction), name_of(p.x), name_of(p.y), p.bias,
                     name_of(p.activation), mode == Grad::accumulate ? " accumulate" : "");
}

}  // namespace rook::test
