// Convolution by Winograd: every shape it can run, small ones included for which the table prefers another row.
#include "kernels/cpu/conv_winograd.h"

#include "base/error.h"
#include "kernels/cpu/vec.h"
#include "tests/kernels/conv_cases.h"

using namespace rook;
using namespace rook::test;
namespace winograd = rook::cpu::winograd;

namespace {

constexpr ConvCase kWinogradCases[] = {
    {"one pixel, one channel", 1, 1, 1, square(1, 1, 3, 1, 1)},
    {"one pixel", 3, 1, 1, square(17, 5, 3, 1, 1)},
    {"one row", 1, 1, 13, square(16, 16, 3, 1, 1)},
    {"one column", 2, 11, 1, square(33, 15, 3, 1, 1)},
    {"two rows", 1, 2, 7, square(5, 31, 3, 1, 1)},
    {"three columns", 1, 5, 3, square(32, 64, 3, 1, 1)},
    {"one tile, no padding", 1, 4, 4, square(7, 9, 3)},
    {"one output, no padding", 5, 3, 3, square(35, 33, 3)},
    {"no padding, odd", 1, 8, 7, square(13, 21, 3)},
    {"padding 2", 2, 3, 6, square(19, 6, 3, 1, 2)},
    {"padding differs", 1, 6, 5, {.c = 9, .k = 10, .r = 3, .s = 3, .pad_h = 2, .pad_w = 0}},
    {"primes", 3, 13, 11, square(37, 41, 3, 1, 1)},
    {"many channels", 1, 7, 5, square(131, 97, 3, 1, 1)},
    {"many filters", 1, 5, 7, square(48, 161, 3, 1, 1)},
    {"several blocks of tiles", 2, 31, 37, square(32, 48, 3, 1, 1)},
    {"several parts of tiles", 1, 67, 71, square(20, 34, 3, 1, 1)},
};

const ConvRow kWinogradRow = with_rule(winograd::conv_row(), winograd::can_run);

}  // namespace

TEST_CASE("conv winograd: agrees with the reference in all directions") {
  Random random(11);
  int ran_f32 = 0, ran_bf16 = 0;
  for (const ConvCase& k : kWinogradCases)
    for (const Types types : kTypes)
      for (const ConvDirection direction : kDirections)
        for (const bool second : {false, true}) {  // with a bias; dgrad: adding to what is there
          if (types.x != types.y && direction != ConvDirection::fprop) continue;
          const bool dgrad = direction == ConvDirection::dgrad;
          const ConvProblem problem = problem_of(k, direction, types, second && !dgrad);
          INFO(k.name << ": " << describe(problem));
          const bool ran =
              check_row(kWinogradRow, problem, dgrad && second ? Grad::accumulate : Grad::overwrite, random);
          (types.x == DType::f32 ? ran_f32 : ran_bf16) += ran;
        }
  CHECK(ran_f32 == 6 * static_cast<int>(std::size(kWinogradCases)));
  // Not every processor multiplies bf16.
  CHECK((ran_bf16 == 0 || ran_bf16 == 8 * static_cast<int>(std::size(kWinogradCases))));
}

TEST_CASE("conv winograd: every activation") {
  Random random(12);
  const ConvCase shape{"", 2, 7, 5, square(35, 21, 3, 1, 1)};
  for (int a = 0; a < kActivations; ++a)
    for (const Types types : kTypes) {
      ConvProblem problem = problem_of(shape, ConvDirection::fprop, types, true);
      problem.activation = static_cast<Activation>(a);
      INFO(describe(problem));
      CHECK((check_row(kWinogradRow, problem, Grad::overwrite, random) || types.x != DType::f32));
    }
}

TEST_CASE("conv winograd: the same bits with any number of threads") {
  Random random(13);
  const ConvCase shapes[] = {{"one part", 2, 13, 11, square(67, 75, 3, 1, 1)},
                             {"parts of tiles", 1, 67, 71, square(20, 34, 3, 1, 1)},
                             {"few tiles", 1, 5, 5, square(64, 96, 3, 1, 1)}};
  for (const ConvCase& k : shapes)
    for (const Types types : {both(DType::f32), both(DType::bf16)})
      for (const ConvDirection direction : kDirections) {
        const ConvProblem problem = problem_of(k, direction, types, direction == ConvDirection::wgrad);
        INFO(k.name << ": " << describe(problem));
        if (!kWinogradRow.supports(problem)) continue;
        const Setup setup(problem, random);
        const std::vector<double> one = with_threads(1, kWinogradRow, setup);
        for (const int threads : {2, 3, 7}) CHECK(with_threads(threads, kWinogradRow, setup) == one);
      }
}

TEST_CASE("conv winograd: a NaN reaches the outputs that see it, and only their tiles") {
  ConvProblem problem{.geometry = square(16, 16, 3, 1, 1), .n = 1, .h = 9, .w = 9};
  Random random(14);
  Setup setup(problem, random);
  setup.x.set((4 * 9 + 4) * 16 + 3, std::nan(""));
  setup.run(kWinogradRow);
  const std::vector<double> y = setup.y.to_doubles();
  for (int p = 0; p < 9; ++p)
    for (int q = 0; q < 9; ++q) {
      CAPTURE(p);
      CAPTURE(q);
      const bool sees = std::abs(p - 4) <= 1 && std::abs(q - 4) <= 1;
      const bool shares = p >= 2 && p <= 5 && q >= 2 && q <= 5;  // pixel 4 is read by the tiles of outputs 2..5
      CHECK((!sees || std::isnan(y[static_cast<std::size_t>((p * 9 + q) * 16)])));
      CHECK((shares || !std::isnan(y[static_cast<std::size_t>((p * 9 + q) * 16)])));
    }
}

TEST_CASE("conv winograd: what it cannot run it refuses") {
  const ConvProblem good{.geometry = square(64, 64, 3, 1, 1), .n = 1, .h = 52, .w = 52};
  CHECK(winograd::can_run(good));
  CHECK(winograd::conv_row().supports(good) == (cpu::kLanes >= 8));  // SSE is too slow for it
  CHECK(cpu::conv_rows()[0].name == "winograd");
  const auto refused = [&](auto change) {
    ConvProblem problem = good;
    change(problem);
    CHECK_FALSE(winograd::can_run(problem));
    CHECK_FALSE(winograd::conv_row().supports(problem));
    Random random(15);
    Setup setup(problem, random);
    CHECK_THROWS_AS(kWinogradRow.run(problem, {.x = setup.x, .y = setup.y, .weights = setup.weights.data()}, {}),
                    Error);
  };
  refused([](ConvProblem& p) { p.geometry.stride_h = 2; });
  refused([](ConvProblem& p) { p.geometry.stride_w = 2; });
  refused([](ConvProblem& p) { p.geometry.dilation = 2; });
  refused([](ConvProblem& p) { p.geometry.groups = 2; });
  refused([](ConvProblem& p) { p.geometry.r = 1; });
  refused([](ConvProblem& p) { p.geometry.s = 5; });
  refused([](ConvProblem& p) { p.geometry.pad_h = 3; });
  refused([](ConvProblem& p) { p.x = DType::f64; });
  refused([](ConvProblem& p) { p.y = DType::bf16; });
  ConvProblem narrow = good;
  narrow.geometry.c = 3;
  CHECK(winograd::can_run(narrow));
  CHECK_FALSE(winograd::conv_row().supports(narrow));
}
