// Convolution: every row of the table against the reference loops, those by hand and against finite differences.
#include "kernels/conv.h"

#include <set>
#include <string_view>

#include "base/error.h"
#include "tests/kernels/conv_cases.h"
#include "tests/support.h"

using namespace rook;
using namespace rook::test;

namespace {

TestTensor counting(int h, int w, int c) {
  TestTensor x(DType::f64, 1, h, w, c);
  for (std::int64_t i = 0; i < x.elements(); ++i) x.set(i, static_cast<double>(i + 1));
  return x;
}

// The reference on one image with given weights.
std::vector<double> fprop_of(const TestTensor& x, const ConvGeometry& geometry, const std::vector<float>& weights,
                             const float* bias = nullptr) {
  const ConvProblem problem{.geometry = geometry,
                            .n = 1,
                            .h = x.view().h,
                            .w = x.view().w,
                            .x = DType::f64,
                            .y = DType::f64,
                            .bias = bias != nullptr};
  TestTensor y(DType::f64, 1, problem.p(), problem.q(), geometry.k);
  ref_row().run(problem, {.x = x, .y = y, .weights = weights.data(), .bias = bias}, {});
  CHECK(y.guards_intact());
  return y.to_doubles();
}

}  // namespace

TEST_CASE("conv: every row agrees with the reference in all directions") {
  Random random(1);
  int of_onednn[2] = {};  // f32, bf16
  for (const ConvCase& k : kConvCases) {
    CAPTURE(k.name);
    for (const Types types : kTypes)
      for (const ConvDirection direction : kDirections)
        for (const bool second : {false, true}) {  // with a bias; dgrad: adding to what is there
          const bool dgrad = direction == ConvDirection::dgrad;
          // Mixed types are those of logits: no gradient is kept so.
          if (types.x != types.y && (direction != ConvDirection::fprop || !second)) continue;
          const ConvProblem problem = problem_of(k, direction, types, second && !dgrad);
          INFO(describe(problem));
          REQUIRE((problem.p() > 0 && problem.q() > 0));
          int rows = 0;
          for (const ConvRow& row : cpu::conv_rows()) {
            CAPTURE(row.name);
            const bool ran = check_row(row, problem, dgrad && second ? Grad::accumulate : Grad::overwrite, random);
            rows += ran;
            of_onednn[types.x == DType::bf16] += ran && row.name == "onednn";
          }
          CHECK(rows > 0);
        }
  }
  // Were oneDNN to refuse everything, the reference would have been compared with itself. Not every processor
  // multiplies bf16.
  CHECK(of_onednn[0] > static_cast<int>(std::size(kConvCases)) * 5);
  CHECK((of_onednn[1] == 0 || of_onednn[1] > static_cast<int>(std::size(kConvCases)) * 3));
}

TEST_CASE("conv: slices of wider tensors") {
  Random random(6);
  constexpr ConvCase kSliced[] = {
      {"Winograd's", 1, 13, 15, square(32, 40, 3, 1, 1)},
      {"Winograd's, large tiles", 1, 21, 17, square(32, 40, 3, 1, 1)},
      {"stride 2", 2, 9, 7, square(24, 16, 3, 2, 1)},
      {"pointwise", 1, 7, 5, square(13, 37, 1)},
      {"depthwise", 1, 5, 7, square(16, 16, 3, 1, 1, 1, 16)},
      {"left to the reference", 1, 9, 9, square(4, 4, 3, 1, 0, 2)},
  };
  std::set<std::string_view> ran;
  for (const ConvCase& k : kSliced)
    for (const Types types : kTypes)
      for (const ConvDirection direction : kDirections)
        for (const auto& [more_x, more_y] : {std::pair{16, 3}, {0, 16}, {5, 0}}) {
          if (types.x != types.y && direction != ConvDirection::fprop) continue;
          const ConvProblem problem =
              sliced(problem_of(k, direction, types, direction != ConvDirection::dgrad), more_x, more_y);
          CAPTURE(k.name);
          INFO(describe(problem));
          for (const ConvRow& row : cpu::conv_rows()) {
            CAPTURE(row.name);
            const ConvRow wherever_it_can = row.can_run ? with_rule(row, row.can_run) : row;
            if (check_row(wherever_it_can, problem, more_x == 5 ? Grad::accumulate : Grad::overwrite, random))
              ran.insert(row.name);
          }
        }
  // The others say that they want dense tensors.
  CHECK(ran ==
        std::set<std::string_view>{"sliced-winograd4", "sliced-winograd", "sliced-direct", "sliced-onednn", "ref"});
}

TEST_CASE("conv: fused activations") {
  Random random(2);
  constexpr ConvGeometry kGeometries[] = {square(13, 21, 3, 1, 1), square(16, 32, 1), square(16, 16, 3, 1, 1, 1, 16)};
  int fused[2] = {};  // f32, bf16
  for (int a = 0; a < kActivations; ++a)
    for (const ConvGeometry& geometry : kGeometries)
      for (const Types types : kTypes) {
        const ConvProblem problem{.geometry = geometry,
                                  .n = 2,
                                  .h = 7,
                                  .w = 5,
                                  .x = types.x,
                                  .y = types.y,
                                  .bias = true,
                                  .activation = static_cast<Activation>(a)};
        INFO(describe(problem));
        for (const ConvRow& row : cpu::conv_rows()) {
          CAPTURE(row.name);
          fused[types.x == DType::bf16] +=
              check_row(row, problem, Grad::overwrite, random) && row.name == "onednn" && a > 0;
        }
      }
  CHECK(fused[0] >= 7 * 2);
  CHECK((fused[1] == 0 || fused[1] >= 7 * 2));
}

TEST_CASE("conv: the reference by hand") {
  // 1..9 in a square with the filter 1..9: the middle is the sum of squares.
  std::vector<float> filter(9);
  for (int i = 0; i < 9; ++i) filter[static_cast<std::size_t>(i)] = static_cast<float>(i + 1);
  const ConvGeometry same{.c = 1, .k = 1, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1};
  CHECK(fprop_of(counting(3, 3, 1), same, filter) == std::vector<double>{94, 154, 106, 186, 285, 186, 106, 154, 94});
  // Dilated by 2, the padding is doubled too: the corner sees the pixels 0 and 2 away.
  ConvGeometry dilated = same;
  dilated.dilation = 2;
  const auto far = fprop_of(counting(5, 5, 1), dilated, std::vector<float>(9, 1));
  CHECK(far.size() == 25);
  CHECK(far[0] == 1 + 3 + 11 + 13);
  CHECK(far[12] == 1 + 3 + 5 + 11 + 13 + 15 + 21 + 23 + 25);
  // Strides of 2 down and 1 across, 1x1: every second row.
  CHECK(fprop_of(counting(3, 2, 1), {.c = 1, .k = 1, .stride_h = 2}, {10}) == std::vector<double>{10, 20, 50, 60});
  // Groups: the first filters see the first channels only. Filters [k][c / groups].
  const float bias[] = {0.5f, 0, 0, 0};
  CHECK(fprop_of(counting(1, 1, 4), {.c = 4, .k = 4, .groups = 2}, {1, 0, 0, 1, 1, 1, 2, 0}, bias) ==
        std::vector<double>{1.5, 2, 7, 6});
  // Taps before channels: filter [r][s][c].
  CHECK(fprop_of(counting(1, 2, 2), {.c = 2, .k = 1, .r = 1, .s = 2}, {1, 10, 100, 1000}) ==
        std::vector<double>{1 + 20 + 300 + 4000});
}

TEST_CASE("conv: gradients of the reference are those of finite differences") {
  Random random(3);
  for (const ConvCase& k : kConvCases) {
    CAPTURE(k.name);
    ConvProblem problem = problem_of(k, ConvDirection::fprop, both(DType::f64), true);
    Setup s(problem, random);
    TestTensor y = s.y;
    const TestTensor dy = TestTensor(s.y).fill_uniform(random, -1, 1);
    const auto loss = [&] {
      ref_row().run(problem, {.x = s.x, .y = y, .weights = s.weights.data(), .bias = s.bias.data()}, {});
      return weighted_sum(y, dy);
    };
    TestTensor dx = s.x;
    ConvProblem dgrad = problem, wgrad = problem;
    dgrad.direction = ConvDirection::dgrad;
    ref_row().run(dgrad, {.x = dx.poison(Poison::nan), .y = dy, .weights = s.weights.data()}, {});
    wgrad.direction = ConvDirection::wgrad;
    s.dweights.fill(0);
    s.dbias.fill(0);
    ref_row().run(wgrad, {.x = s.x, .y = dy, .dweights = s.dweights.data(), .dbias = s.dbias.data()}, {});
    // Linear in each: a large step has no error but rounding.
    check_gradient("dx", s.x, dx, s.x.elements(), loss, random, 0.25, {1e-10, 1e-10}, 12);
    check_gradient("dweights", s.weights, s.dweights, s.weights.size(), loss, random, 0.25, {1e-6, 1e-6}, 12);
    check_gradient("dbias", s.bias, s.dbias, s.bias.size(), loss, random, 0.25, {1e-6, 1e-6}, 4);
  }
}

TEST_CASE("conv: wgrad needs no gradient of the bias") {
  Random random(4);
  const ConvProblem problem{.direction = ConvDirection::wgrad,
                            .geometry = {.c = 5, .k = 7, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
                            .n = 1,
                            .h = 5,
                            .w = 4,
                            .bias = true};
  for (const ConvRow& row : cpu::conv_rows()) {
    CAPTURE(row.name);
    Setup s(problem, random);
    const Setup before = s;
    GuardedBytes workspace(row.workspace(problem));
    row.run(problem, {.x = s.x, .y = s.y, .dweights = s.dweights.data(), .workspace = workspace.data()}, {});
    CHECK(same_bits(s.dbias, before.dbias));
    CHECK_FALSE(same_bits(s.dweights, before.dweights));
  }
}

TEST_CASE("conv: arguments that do not fit are refused") {
  Random random(5);
  const ConvProblem problem{
      .geometry = {.c = 4, .k = 6, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1}, .n = 2, .h = 5, .w = 4};
  Setup s(problem, random);
  const ConvArgs good{.x = s.x, .y = s.y, .weights = s.weights.data()};
  CHECK_NOTHROW(check_conv(problem, good));
  const auto refused = [&](auto change) {
    ConvProblem p = problem;
    ConvArgs args = good;
    change(p, args);
    CHECK_THROWS_AS(check_conv(p, args), Error);
    for (const ConvRow& row : cpu::conv_rows()) CHECK_THROWS_AS(row.run(p, args, {}), Error);
  };
  refused([](ConvProblem&, ConvArgs& a) { a.x.data = nullptr; });
  refused([](ConvProblem&, ConvArgs& a) { a.y.data = nullptr; });
  refused([](ConvProblem&, ConvArgs& a) { a.x.n = 1; });
  refused([](ConvProblem&, ConvArgs& a) { a.x.w = 5; });
  refused([](ConvProblem&, ConvArgs& a) { a.y.c = 5; });
  refused([](ConvProblem&, ConvArgs& a) { a.y.h = 4; });
  refused([](ConvProblem&, ConvArgs& a) { a.x.pitch = 8; });
  refused([](ConvProblem&, ConvArgs& a) { a.y.pitch = 8; });
  refused([](ConvProblem& p, ConvArgs&) { p.pitch_x = 8; });
  refused([](ConvProblem& p, ConvArgs& a) { p.pitch_y = 5, a.y.pitch = 5; });
  refused([](ConvProblem&, ConvArgs& a) { a.x.dtype = DType::bf16; });
  refused([](ConvProblem&, ConvArgs& a) { a.weights = nullptr; });
  refused([](ConvProblem& p, ConvArgs&) { p.direction = ConvDirection::wgrad; });
  refused([](ConvProblem& p, ConvArgs&) { p.geometry.groups = 3; });
  refused([](ConvProblem& p, ConvArgs&) { p.geometry.groups = 0; });
}
