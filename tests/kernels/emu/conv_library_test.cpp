// The convolutions of cuDNN and cuBLASLt, which need a GPU; the emulator has none of them.
#include <doctest/doctest.h>

#include <map>

#include "tests/kernels/emu/conv_setup.h"

using namespace rook;
using namespace rook::test;

namespace {

constexpr ConvCase kLibraryCases[] = {
    {"1x1", 2, 13, 11, square(16, 33, 1)},
    {"1x1, many channels", 1, 7, 5, square(129, 255, 1)},
    {"3x3", 2, 13, 11, square(16, 24, 3, 1, 1)},
    {"3x3, stride 2", 2, 13, 12, square(21, 33, 3, 2, 1)},
    {"first layer", 1, 21, 19, square(3, 32, 3, 2, 1)},
    {"groups", 1, 9, 11, square(16, 32, 3, 1, 1, 1, 4)},
    {"depthwise", 1, 9, 11, square(24, 24, 3, 1, 1, 1, 24)},
};

// A library may round twice more than our kernels: the sum before the bias, and the bias itself, to the type of y; and
// gradients of weights to the type of x before they are added.
double roundings(DType storage) {
  return storage == DType::bf16 ? 3.0 / 256 : storage == DType::f16 ? 3.0 / 2048 : 4e-6;
}

void check_close_to(const char* what, const std::vector<double>& ours, const std::vector<double>& truth, double terms,
                    DType storage) {
  double most = 1;
  for (const double v : truth) most = std::max(most, std::abs(v));
  const double allowed = most * (roundings(storage) + 1e-6 * std::sqrt(terms));
  for (std::size_t i = 0; i < truth.size(); ++i)
    CHECK_MESSAGE(std::abs(ours[i] - truth[i]) <= allowed, what, "[", i, "]: ", ours[i], " instead of ", truth[i]);
}

std::vector<double> doubles(const TestArray<float>& array) {
  return {array.data(), array.data() + array.size()};
}

void check(const ConvProblem& problem, Grad mode, const ConvRow& row, const Gpu& gpu, Random& random) {
  INFO(describe_conv(problem, mode));
  const GpuConv start(problem, mode, random), truth = start.truth();
  GpuConv ours = start;
  ours.run(row, gpu);
  const ConvGeometry& g = problem.geometry;
  const double taps = static_cast<double>(g.r) * g.s,
               pixels = static_cast<double>(problem.n) * problem.p() * problem.q();
  if (problem.direction == ConvDirection::fprop)
    check_close_to("y", ours.y.to_doubles(), truth.y.to_doubles(), taps * g.c / g.groups, problem.x);
  if (problem.direction == ConvDirection::dgrad)
    check_close_to("dx", ours.x.to_doubles(), truth.x.to_doubles(), taps * g.k / g.groups, problem.x);
  if (problem.direction == ConvDirection::wgrad) {
    check_close_to("dweights", doubles(ours.dweights), doubles(truth.dweights), pixels, problem.x);
    check_close_to("dbias", doubles(ours.dbias), doubles(truth.dbias), pixels, DType::f32);
  }
  GpuConv again = start;
  again.run(row, gpu, 1e30f);
  CHECK_MESSAGE(same_results(ours, again), "another result the second time");
}

}  // namespace

TEST_CASE("gpu conv: the libraries' rows agree with the reference") {
  for_each_gpu([](const Gpu& gpu) {
    Random random(7);
    std::map<std::string_view, int> ran;
    for (const ConvRow& row : gpu.ops->conv_rows()) {
      if (row.ours()) continue;
      ran[row.name] = 0;
      CAPTURE(row.name);
      for (const ConvCase& k : kLibraryCases)
        for (const DType type : {DType::f32, DType::bf16, DType::f16})
          for (const ConvDirection direction : {ConvDirection::fprop, ConvDirection::dgrad, ConvDirection::wgrad})
            for (const Activation activation :
                 {Activation::linear, Activation::relu, Activation::leaky, Activation::mish}) {
              if (direction != ConvDirection::fprop && activation != Activation::linear) continue;
              CAPTURE(k.name);
              const bool dgrad = direction == ConvDirection::dgrad;
              ConvProblem problem = problem_of(k, direction, both(type), !dgrad);
              problem.activation = activation;
              if (!row.supports(problem)) continue;
              check(problem, dgrad ? Grad::accumulate : Grad::overwrite, row, gpu, random);
              ++ran[row.name];
            }
    }
    if (gpu.ops->device == Device::emu) CHECK(ran.empty());
    for (const auto& row : ran) CHECK_MESSAGE(row.second >= 18, row.first, " ran ", row.second, " times");
  });
}
