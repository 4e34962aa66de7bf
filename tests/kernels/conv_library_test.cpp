// What cuDNN and cuBLASLt are told of a convolution: against numbers worked out by hand, and the product as plain loops
// against the reference convolution.
#include "kernels/conv_library.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/kernels/conv_cases.h"

using namespace rook;
using namespace rook::test;

namespace {

using Operand = LibraryGemm::Operand;

ConvProblem pointwise(ConvDirection direction, int n, int h, int w, int c, int k) {
  return {.direction = direction, .geometry = {.c = c, .k = k}, .n = n, .h = h, .w = w};
}

// D = op(A) op(B) + D of column-major matrices, as BLAS defines it.
void naive_gemm(const LibraryGemm& g, const float* a, const float* b, float* d, bool add) {
  for (std::int64_t column = 0; column < g.n; ++column)
    for (std::int64_t row = 0; row < g.m; ++row) {
      double sum = 0;
      for (std::int64_t i = 0; i < g.k; ++i)
        sum += static_cast<double>(g.transpose_a ? a[i + row * g.lda] : a[row + i * g.lda]) *
               (g.transpose_b ? b[column + i * g.ldb] : b[i + column * g.ldb]);
      float& out = d[row + column * g.ldd];
      out = static_cast<float>(sum + (add ? static_cast<double>(out) : 0));
    }
}

// A tensor with `pitch` floats per pixel; what lies between the channels is NaN.
std::vector<float> spread(const TestTensor& dense, int c, int pitch) {
  const auto values = dense.to_doubles();
  std::vector<float> wide(values.size() / static_cast<std::size_t>(c) * static_cast<std::size_t>(pitch), NAN);
  for (std::size_t i = 0; i < values.size(); ++i)
    wide[i / static_cast<std::size_t>(c) * static_cast<std::size_t>(pitch) + i % static_cast<std::size_t>(c)] =
        static_cast<float>(values[i]);
  return wide;
}

}  // namespace

TEST_CASE("libraries: cuDNN's extents, strides and paddings") {
  const ConvProblem problem{
      .geometry = {.c = 6, .k = 10, .r = 3, .s = 3, .stride_h = 2, .stride_w = 2, .pad_h = 1, .pad_w = 1, .groups = 2},
      .n = 2,
      .h = 13,
      .w = 8,
      .pitch_x = 16};
  const auto conv = library_conv(problem);
  REQUIRE(conv);
  CHECK(conv->x == LibraryTensor{{2, 6, 13, 8}, {13 * 8 * 16, 1, 8 * 16, 16}});
  CHECK(conv->y == LibraryTensor{{2, 10, 7, 4}, {7 * 4 * 10, 1, 4 * 10, 10}});
  CHECK(conv->weights == LibraryTensor{{10, 3, 3, 3}, {27, 1, 9, 3}});  // C of a group
  CHECK(conv->bias == LibraryTensor{{1, 10, 1, 1}, {10, 1, 10, 10}});
  CHECK(conv->pad_before == std::array<std::int64_t, 2>{1, 1});
  CHECK(conv->pad_after == std::array<std::int64_t, 2>{1, 1});  // across, 8 + 2 - 3 = 7 leaves a column over
  CHECK(conv->stride == std::array<std::int64_t, 2>{2, 2});
  CHECK(conv->dilation == std::array<std::int64_t, 2>{1, 1});
}

TEST_CASE("libraries: dilated convolutions have darknet's output size, or are refused") {
  // 3x3, dilation 2: out 9 + 2 - 3 + 1 = 9; padding 2; the last output's last tap is at 8 + 2 = 10, 2 after the end.
  const ConvGeometry same{.c = 4, .k = 4, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1, .dilation = 2};
  auto conv = library_conv({.geometry = same, .n = 1, .h = 9, .w = 9});
  REQUIRE(conv);
  CHECK(conv->pad_before == std::array<std::int64_t, 2>{2, 2});
  CHECK(conv->pad_after == std::array<std::int64_t, 2>{2, 2});
  CHECK(conv->dilation == std::array<std::int64_t, 2>{2, 2});
  // Without padding out is 9 - 3 + 1 = 7 although the filter spans 5: the last tap of output 6 is at 10, 2 beyond 8.
  const ConvGeometry bare{.c = 4, .k = 4, .r = 3, .s = 3, .dilation = 2};
  conv = library_conv({.geometry = bare, .n = 1, .h = 9, .w = 9});
  REQUIRE(conv);
  CHECK(conv->pad_before == std::array<std::int64_t, 2>{0, 0});
  CHECK(conv->pad_after == std::array<std::int64_t, 2>{2, 2});
  // 3x3, padding 2, dilation 3: padding 6, out 5 + 4 - 3 + 1 = 7; the last tap is at 6 - 6 + 6 = 6, 2 after the end.
  const ConvGeometry wide{.c = 4, .k = 4, .r = 3, .s = 3, .pad_h = 2, .pad_w = 2, .dilation = 3};
  conv = library_conv({.geometry = wide, .n = 1, .h = 5, .w = 5});
  REQUIRE(conv);
  CHECK(conv->pad_before == std::array<std::int64_t, 2>{6, 6});
  CHECK(conv->pad_after == std::array<std::int64_t, 2>{2, 2});
  // 1x1 with padding 1 and dilation 3: 7 outputs, read from -3 to 3; the input's last pixel is never read.
  const ConvGeometry cut{.c = 4, .k = 4, .pad_h = 1, .pad_w = 1, .dilation = 3};
  CHECK_FALSE(library_conv({.geometry = cut, .n = 1, .h = 5, .w = 5}));
}

TEST_CASE("libraries: every padding says where cuDNN's last output ends") {
  // cuDNN's own formula must give darknet's size for all that is not refused.
  int accepted = 0;
  for (int size = 1; size <= 5; ++size)
    for (int stride = 1; stride <= 3; ++stride)
      for (int pad = 0; pad <= 2; ++pad)
        for (int dilation = 1; dilation <= 3; ++dilation)
          for (int in = size; in <= 14; ++in) {
            const ConvGeometry g{.c = 1,
                                 .k = 1,
                                 .r = size,
                                 .s = size,
                                 .stride_h = stride,
                                 .stride_w = stride,
                                 .pad_h = pad,
                                 .pad_w = pad,
                                 .dilation = dilation};
            const ConvProblem problem{.geometry = g, .n = 1, .h = in, .w = in};
            const auto conv = library_conv(problem);
            if (!conv) continue;
            ++accepted;
            const std::int64_t span = (size - 1) * dilation + 1;
            CHECK(conv->pad_before[0] == pad * dilation);
            CHECK((in + conv->pad_before[0] + conv->pad_after[0] - span) / stride + 1 == problem.p());
          }
  CHECK(accepted > 1000);
}

TEST_CASE("libraries: cuBLASLt's products, by hand") {
  const auto sliced = [](ConvDirection direction) {
    ConvProblem problem = pointwise(direction, 2, 3, 5, 16, 21);
    problem.pitch_x = 24;
    problem.pitch_y = 32;
    return problem;
  };
  CHECK(library_gemm(sliced(ConvDirection::fprop)) ==
        LibraryGemm{Operand::weights, Operand::x, Operand::y, true, false, 21, 30, 16, 16, 24, 32});
  CHECK(library_gemm(sliced(ConvDirection::dgrad)) ==
        LibraryGemm{Operand::weights, Operand::y, Operand::x, false, false, 16, 30, 21, 16, 32, 24});
  CHECK(library_gemm(sliced(ConvDirection::wgrad)) ==
        LibraryGemm{Operand::x, Operand::y, Operand::weights, false, true, 16, 21, 30, 24, 32, 16});
  CHECK(library_gemm(pointwise(ConvDirection::fprop, 1, 1, 1, 7, 3)) ==
        LibraryGemm{Operand::weights, Operand::x, Operand::y, true, false, 3, 1, 7, 7, 7, 3});

  ConvProblem problem = pointwise(ConvDirection::fprop, 1, 4, 4, 8, 8);
  CHECK(is_gemm(problem));
  for (int ConvGeometry::*field :
       {&ConvGeometry::r, &ConvGeometry::s, &ConvGeometry::stride_h, &ConvGeometry::stride_w, &ConvGeometry::groups}) {
    ConvProblem other = problem;
    other.geometry.*field = 2;
    CHECK_FALSE(is_gemm(other));
  }
  for (int ConvGeometry::*field : {&ConvGeometry::pad_h, &ConvGeometry::pad_w}) {
    ConvProblem other = problem;
    other.geometry.*field = 1;
    CHECK_FALSE(is_gemm(other));
  }
}

TEST_CASE("libraries: the products are the reference's convolutions, in slices of wider tensors too") {
  Random random(3);
  for (const bool sliced : {false, true})
    for (const ConvDirection direction : {ConvDirection::fprop, ConvDirection::dgrad, ConvDirection::wgrad}) {
      CAPTURE(name_of(direction));
      CAPTURE(sliced);
      const int c = 13, k = 7, pitch_x = sliced ? 17 : c, pitch_y = sliced ? 11 : k;
      const ConvProblem problem = pointwise(direction, 2, 5, 3, c, k);
      Setup setup(problem, random);
      ConvProblem wide = problem;
      wide.pitch_x = pitch_x;
      wide.pitch_y = pitch_y;
      std::vector<float> x = spread(setup.x, c, pitch_x), y = spread(setup.y, k, pitch_y);
      std::vector<float> weights(setup.weights.span().begin(), setup.weights.span().end());
      std::vector<float> dweights(setup.dweights.span().begin(), setup.dweights.span().end());
      const bool wgrad = direction == ConvDirection::wgrad;
      const auto data = [&](Operand operand) {
        return operand == Operand::x   ? x.data()
               : operand == Operand::y ? y.data()
               : wgrad                 ? dweights.data()
                                       : weights.data();
      };
      const LibraryGemm gemm = library_gemm(wide);
      naive_gemm(gemm, data(gemm.a), data(gemm.b), data(gemm.d), wgrad);
      setup.run(ref_row());
      const auto close = [](double a, double b) { return std::abs(a - b) <= 1e-5; };
      if (wgrad) {
        for (std::size_t i = 0; i < dweights.size(); ++i) CHECK(close(dweights[i], setup.dweights.span()[i]));
        continue;
      }
      const bool fprop = direction == ConvDirection::fprop;
      const std::vector<float> expected = fprop ? spread(setup.y, k, pitch_y) : spread(setup.x, c, pitch_x);
      const std::vector<float>& actual = fprop ? y : x;
      REQUIRE(actual.size() == expected.size());
      for (std::size_t i = 0; i < actual.size(); ++i) CHECK(std::isnan(expected[i]) == std::isnan(actual[i]));
      for (std::size_t i = 0; i < actual.size(); ++i)
        if (!std::isnan(expected[i])) CHECK(close(actual[i], expected[i]));
    }
}
