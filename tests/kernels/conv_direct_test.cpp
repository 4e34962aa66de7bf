// Convolution by the plain sum: every shape it can run, those too for which the table prefers another row.
#include "kernels/cpu/conv_direct.h"

#include "base/error.h"
#include "kernels/cpu/vec.h"
#include "tests/kernels/conv_cases.h"

using namespace rook;
using namespace rook::test;
namespace direct = rook::cpu::direct;

namespace {

constexpr ConvCase kDirectCases[] = {
    {"one pixel, one channel", 1, 1, 1, square(1, 1, 3, 2, 1)},
    {"one output", 3, 3, 3, square(17, 5, 3, 2)},
    {"one row", 1, 1, 13, square(16, 16, 3, 2, 1)},
    {"one column", 2, 11, 1, square(33, 15, 3, 2, 1)},
    {"even", 1, 8, 6, square(5, 31, 3, 2, 1)},
    {"odd", 2, 9, 7, square(32, 64, 3, 2, 1)},
    {"three channels", 1, 17, 15, square(3, 29, 3, 2, 1)},
    {"stride 1", 1, 7, 9, square(19, 23, 3, 1, 1)},
    {"stride 3", 2, 13, 14, square(11, 18, 5, 3, 2)},
    {"stride above size", 1, 11, 10, square(9, 8, 2, 3)},
    {"1x1", 2, 6, 5, square(21, 34, 1, 2)},
    {"strides differ", 1, 12, 11, with_strides(square(13, 26, 3, 2, 1), 1, 2)},
    {"padding differs", 1, 9, 8, {.c = 9, .k = 10, .r = 3, .s = 3, .stride_h = 2, .stride_w = 2, .pad_h = 2}},
    {"padding 6", 1, 4, 3, square(6, 7, 7, 2, 6)},
    {"many channels", 1, 7, 5, square(131, 97, 3, 2, 1)},
    {"many filters", 1, 5, 7, square(48, 161, 3, 2, 1)},
    {"wide, several chunks of pixels", 2, 37, 67, square(20, 34, 3, 2, 1)},
    {"sums that leave no room for parts", 1, 6, 6, square(480, 512, 3, 2, 1)},
};

const ConvRow kDirectRow = with_rule(direct::conv_row(), direct::can_run);

}  // namespace

TEST_CASE("conv direct: agrees with the reference in all directions") {
  Random random(21);
  int ran = 0;
  for (const ConvCase& k : kDirectCases)
    for (const ConvDirection direction : kDirections)
      for (const bool second : {false, true}) {  // with a bias; dgrad: adding to what is there
        const bool dgrad = direction == ConvDirection::dgrad;
        const ConvProblem problem = problem_of(k, direction, both(DType::f32), second && !dgrad);
        INFO(k.name << ": " << describe(problem));
        ran += check_row(kDirectRow, problem, dgrad && second ? Grad::accumulate : Grad::overwrite, random);
      }
  CHECK(ran == 6 * static_cast<int>(std::size(kDirectCases)));
}

TEST_CASE("conv direct: activations that are a slope, and no others") {
  Random random(22);
  const ConvCase shape{"", 2, 7, 5, square(35, 21, 3, 2, 1)};
  int ran = 0;
  for (int a = 0; a < kActivations; ++a) {
    ConvProblem problem = problem_of(shape, ConvDirection::fprop, both(DType::f32), true);
    problem.activation = static_cast<Activation>(a);
    INFO(describe(problem));
    ran += check_row(kDirectRow, problem, Grad::overwrite, random);
  }
  CHECK(ran == 3);
}

TEST_CASE("conv direct: the same bits with any number of threads") {
  Random random(23);
  const ConvCase shapes[] = {{"parts of rows", 2, 29, 31, square(20, 34, 3, 2, 1)},
                             {"one part, filters shared", 1, 6, 6, square(480, 512, 3, 2, 1)}};
  for (const ConvCase& k : shapes)
    for (const ConvDirection direction : kDirections) {
      const ConvProblem problem = problem_of(k, direction, both(DType::f32), direction == ConvDirection::wgrad);
      INFO(k.name << ": " << describe(problem));
      const Setup setup(problem, random);
      const std::vector<double> one = with_threads(1, kDirectRow, setup);
      for (const int threads : {2, 3, 7}) CHECK(with_threads(threads, kDirectRow, setup) == one);
    }
}

TEST_CASE("conv direct: a NaN reaches the outputs that see it, and no others") {
  const ConvProblem problem{.geometry = square(16, 16, 3, 2, 1), .n = 1, .h = 9, .w = 9};
  Random random(24);
  Setup setup(problem, random);
  setup.x.set((4 * 9 + 4) * 16 + 3, std::nan(""));
  setup.run(kDirectRow);
  const std::vector<double> y = setup.y.to_doubles();
  for (int p = 0; p < problem.p(); ++p)
    for (int q = 0; q < problem.q(); ++q) {
      CAPTURE(p);
      CAPTURE(q);
      CHECK(std::isnan(y[static_cast<std::size_t>((p * problem.q() + q) * 16)]) == (p == 2 && q == 2));
    }
}

TEST_CASE("conv direct: what it cannot run it refuses") {
  Random random(25);
  for (const ConvGeometry& geometry : {square(8, 8, 3, 2, 1, 2), square(8, 8, 3, 2, 1, 1, 2), square(4, 4, 9, 2, 4)}) {
    const ConvProblem problem{.geometry = geometry, .n = 1, .h = 12, .w = 12};
    CHECK_FALSE(direct::can_run(problem));
    Setup setup(problem, random);
    CHECK_THROWS_AS(direct::conv_row().run(problem, {.x = setup.x, .y = setup.y}, {}), Error);
  }
  const ConvProblem half{.geometry = square(16, 16, 3, 2, 1), .n = 1, .h = 8, .w = 8, .x = DType::bf16};
  CHECK_FALSE(direct::can_run(half));
}
