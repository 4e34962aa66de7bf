// Convolution by Winograd: every shape it can run, small ones included for which the table prefers another row.
#include "kernels/cpu/conv_winograd.h"

#include <array>
#include <tuple>

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

template <int kTile>
bool can_run(const ConvProblem& problem) {
  return winograd::can_run(problem, kTile);
}

// Tiles of 2x2 and of 4x4 outputs, for all that they can run.
const ConvRow kSmallTiles = with_rule(winograd::conv_row(2), can_run<2>);
const ConvRow kLargeTiles = with_rule(winograd::conv_row(4), can_run<4>);

// Checks a row for all cases, types and directions; returns how many it took: in f32, in bf16.
std::array<int, 2> check_all(const ConvRow& row, Random& random) {
  std::array<int, 2> ran{};
  for (const ConvCase& k : kWinogradCases)
    for (const Types types : kTypes)
      for (const ConvDirection direction : kDirections)
        for (const bool second : {false, true}) {  // with a bias; dgrad: adding to what is there
          if (types.x != types.y && direction != ConvDirection::fprop) continue;
          const bool dgrad = direction == ConvDirection::dgrad;
          const ConvProblem problem = problem_of(k, direction, types, second && !dgrad);
          INFO(row.name << ", " << k.name << ": " << describe(problem));
          ran[types.x == DType::bf16] +=
              check_row(row, problem, dgrad && second ? Grad::accumulate : Grad::overwrite, random);
        }
  return ran;
}

}  // namespace

TEST_CASE("conv winograd: agrees with the reference in all directions") {
  Random random(11);
  const int cases = static_cast<int>(std::size(kWinogradCases));
  const auto [ran_f32, ran_bf16] = check_all(kSmallTiles, random);
  CHECK(ran_f32 == 6 * cases);
  CHECK((ran_bf16 == 0 || ran_bf16 == 8 * cases));  // not every processor multiplies bf16
  CHECK(check_all(kLargeTiles, random) == std::array{6 * cases, 0});
}

TEST_CASE("conv winograd: every activation") {
  Random random(12);
  const ConvCase shape{"", 2, 7, 5, square(35, 21, 3, 1, 1)};
  for (int a = 0; a < kActivations; ++a)
    for (const Types types : kTypes) {
      ConvProblem problem = problem_of(shape, ConvDirection::fprop, types, true);
      problem.activation = static_cast<Activation>(a);
      INFO(describe(problem));
      CHECK((check_row(kSmallTiles, problem, Grad::overwrite, random) || types.x != DType::f32));
      CHECK(check_row(kLargeTiles, problem, Grad::overwrite, random) == (types.x == DType::f32));
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
        for (const ConvRow& row : {kSmallTiles, kLargeTiles}) {
          if (!row.supports(problem)) continue;
          const Setup setup(problem, random);
          const std::vector<double> one = with_threads(1, row, setup);
          for (const int threads : {2, 3, 7}) CHECK(with_threads(threads, row, setup) == one);
        }
      }
}

TEST_CASE("conv winograd: a NaN reaches the outputs that see it, and only their tiles") {
  ConvProblem problem{.geometry = square(16, 16, 3, 1, 1), .n = 1, .h = 17, .w = 17};
  Random random(14);
  Setup setup(problem, random);
  setup.x.set((8 * 17 + 8) * 16 + 3, std::nan(""));
  // Pixel 8 is read by the tiles of outputs 6..9 where they are 2 wide, 4..11 where 4.
  for (const auto& [row, first, last] : {std::tuple{kSmallTiles, 6, 9}, std::tuple{kLargeTiles, 4, 11}}) {
    setup.run(row);
    const std::vector<double> y = setup.y.to_doubles();
    for (int p = 0; p < 17; ++p)
      for (int q = 0; q < 17; ++q) {
        INFO(row.name << ": " << p << ", " << q);
        const bool sees = std::abs(p - 8) <= 1 && std::abs(q - 8) <= 1;
        const bool shares = p >= first && p <= last && q >= first && q <= last;
        const bool is_nan = std::isnan(y[static_cast<std::size_t>((p * 17 + q) * 16)]);
        CHECK((!sees || is_nan));
        CHECK((shares || !is_nan));
      }
  }
}

TEST_CASE("conv winograd: what it cannot run it refuses") {
  const ConvProblem good{.geometry = square(64, 64, 3, 1, 1), .n = 1, .h = 52, .w = 52};
  const bool fast = cpu::kLanes >= 8;  // SSE is too slow for it
  for (const ConvRow& row : {winograd::conv_row(2), winograd::conv_row(4)}) CHECK(row.supports(good) == fast);
  CHECK(cpu::conv_rows()[0].name == "winograd4");
  CHECK(cpu::conv_rows()[1].name == "winograd");
  const auto refused_by = [&](int tile, auto change) {
    ConvProblem problem = good;
    change(problem);
    CHECK_FALSE(winograd::can_run(problem, tile));
    const ConvRow& row = winograd::conv_row(tile);
    CHECK_FALSE(row.supports(problem));
    Random random(15);
    Setup setup(problem, random);
    CHECK_THROWS_AS(row.run(problem, {.x = setup.x, .y = setup.y, .weights = setup.weights.data()}, {}), Error);
  };
  const auto refused = [&](auto change) {
    for (const int tile : {2, 4}) refused_by(tile, change);
  };
  for (const int tile : {2, 4}) CHECK(winograd::can_run(good, tile));
  refused([](ConvProblem& p) { p.geometry.stride_h = 2; });
  refused([](ConvProblem& p) { p.geometry.stride_w = 2; });
  refused([](ConvProblem& p) { p.geometry.dilation = 2; });
  refused([](ConvProblem& p) { p.geometry.groups = 2; });
  refused([](ConvProblem& p) { p.geometry.r = 1; });
  refused([](ConvProblem& p) { p.geometry.s = 5; });
  refused([](ConvProblem& p) { p.geometry.pad_h = 3; });
  refused([](ConvProblem& p) { p.x = DType::f64; });
  refused([](ConvProblem& p) { p.y = DType::bf16; });
  refused_by(4, [](ConvProblem& p) { p.x = p.y = DType::bf16; });
  ConvProblem narrow = good;
  narrow.geometry.c = 3;
  for (const int tile : {2, 4}) {
    CHECK(winograd::can_run(narrow, tile));
    CHECK_FALSE(winograd::conv_row(tile).supports(narrow));
  }
}
