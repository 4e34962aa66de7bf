// Convolution on tensor cores: the rows "mma..." against the reference in double, inputs rounded through their storage.
#include "kernels/conv_mma_plan.h"

#include <string>
#include <string_view>

#include "tests/kernels/emu/conv_setup.h"

using namespace rook;
using namespace rook::test;

namespace {

constexpr ConvCase kMmaCases[] = {
    {"one value", 1, 1, 1, square(1, 1, 1)},
    {"a vector", 3, 1, 1, square(37, 19, 1)},
    {"pointwise", 2, 7, 5, square(24, 40, 1)},
    {"pointwise, odd channels", 1, 13, 11, square(37, 75, 1)},
    {"pointwise, stride", 1, 9, 7, square(11, 13, 1, 2)},
    {"pointwise, many channels", 1, 5, 3, square(520, 72, 1)},
    {"plain 3x3", 2, 7, 11, square(16, 32, 3, 1, 1)},
    {"3x3, a reduction that is split", 1, 5, 7, square(80, 24, 3, 1, 1)},
    {"prime 3x3", 3, 7, 5, square(13, 17, 3, 1, 1)},
    {"stride 2", 2, 13, 9, square(8, 16, 3, 2, 1)},
    {"stride 2, 5x5", 1, 11, 12, square(16, 8, 5, 2, 2)},
    {"no padding", 1, 8, 6, square(7, 9, 3)},
    {"filter as large as the picture", 1, 5, 3, {.c = 6, .k = 4, .r = 5, .s = 3}},
    {"filter larger than the picture", 2, 2, 3, square(8, 8, 7, 1, 3)},
    {"even filter", 1, 9, 8, square(5, 6, 2, 2, 1)},
    {"flat filter", 2, 6, 9, {.c = 8, .k = 3, .r = 1, .s = 5, .pad_w = 2}},
    {"much padding", 1, 4, 3, {.c = 3, .k = 4, .r = 3, .s = 3, .pad_h = 3, .pad_w = 2}},
    {"strides differ", 1, 11, 13, {.c = 8, .k = 8, .r = 3, .s = 3, .stride_h = 2, .pad_h = 1, .pad_w = 1}},
    {"stride 3", 1, 13, 13, square(5, 11, 3, 3, 1)},
    {"stride beyond filter", 1, 11, 9, {.c = 4, .k = 6, .r = 2, .s = 2, .stride_h = 3, .stride_w = 4}},
    {"stride beyond picture", 2, 2, 1, square(9, 6, 1, 3)},
    {"dilation", 2, 11, 9, square(8, 7, 3, 1, 1, 2)},
    {"dilation beyond the picture", 1, 4, 5, square(3, 5, 3, 1, 1, 6)},
    {"dilation and stride",
     1,
     11,
     13,
     {.c = 6, .k = 8, .r = 3, .s = 3, .stride_h = 2, .stride_w = 3, .pad_h = 1, .pad_w = 1, .dilation = 2}},
};

// More than one tile of every shape on both sides, and edges that are no multiple of anything.
constexpr ConvCase kTiled[] = {
    {"tiles, pointwise", 1, 13, 12, square(136, 140, 1)},
    {"tiles, 3x3", 3, 9, 6, square(24, 76, 3, 1, 1)},
    {"tiles, stride 2", 2, 23, 21, square(72, 33, 3, 2, 1)},
};

void check_row(const ConvRow& row, const Gpu& gpu, const ConvProblem& problem, Grad mode, Random& random) {
  CAPTURE(row.name);
  INFO(describe_conv(problem, mode));
  REQUIRE(row.supports(problem));
  GpuConv ours(problem, mode, random);
  const GpuConv truth = ours.truth();
  ours.run(row, gpu);
  check_results(ours, truth);
}

}  // namespace

TEST_CASE("conv mma: agrees with the reference in all directions") {
  for_each_gpu([](const Gpu& gpu) {
    Random random(1);
    for (const ConvCase& k : kMmaCases) {
      CAPTURE(k.name);
      for (const DType type : {DType::bf16, DType::f16})
        for (const ConvDirection direction : kDirections)
          for (const bool second : {false, true}) {  // fprop: bias, f32 output; dgrad: added; wgrad: bias
            if (gpu.watched && (type == DType::f16 || !second)) continue;
            const bool wide = second && direction == ConvDirection::fprop;
            ConvProblem problem = problem_of(k, direction, {type, wide ? DType::f32 : type});
            problem.bias = second && direction != ConvDirection::dgrad;
            check_row(row_named(gpu, "mma"), gpu, problem, second ? Grad::accumulate : Grad::overwrite, random);
          }
    }
  });
}

TEST_CASE("conv mma: slices of wider tensors" * unwatched()) {
  for_each_gpu([](const Gpu& gpu) {
    Random random(5);
    for (const ConvCase& k :
         {ConvCase{"3x3", 2, 7, 5, square(16, 24, 3, 1, 1)}, ConvCase{"split", 1, 5, 7, square(80, 24, 3, 1, 1)},
          ConvCase{"odd, stride 2", 1, 9, 11, square(13, 37, 3, 2, 1)}})
      for (const ConvDirection direction : kDirections)
        for (const auto& [more_x, more_y] : {std::pair{16, 16}, {3, 5}, {0, 16}}) {  // whole chunks of 8, and not
          CAPTURE(k.name);
          ConvProblem problem = problem_of(k, direction, both(DType::bf16));
          problem.pitch_x = k.geometry.c + more_x;
          problem.pitch_y = k.geometry.k + more_y;
          problem.bias = direction != ConvDirection::dgrad;
          check_row(row_named(gpu, "mma"), gpu, problem, more_x == 3 ? Grad::accumulate : Grad::overwrite, random);
        }
  });
}

TEST_CASE("conv mma: every tile and type, with edges on both sides") {
  for_each_gpu([](const Gpu& gpu) {
    Random random(2);
    for (const MmaTileSize& tile : kMmaTiles)
      for (const ConvCase& k : kTiled) {
        if (gpu.watched && &k != &kTiled[1]) continue;
        CAPTURE(k.name);
        const DType type = &k == kTiled ? DType::f16 : DType::bf16;
        for (const ConvDirection direction : kDirections)
          check_row(row_named(gpu, tile.name), gpu, problem_of(k, direction, both(type)), Grad::overwrite, random);
      }
  });
}

TEST_CASE("conv mma: the same bits whatever the order of threads and the memory before") {
  for_each_gpu([](const Gpu& gpu) {
    const ConvCase split{"split", 2, 6, 5, square(72, 20, 3, 1, 1)}, whole{"whole", 1, 9, 7, square(19, 33, 3, 2, 1)};
    for (const ConvCase& k : {split, whole})
      for (const ConvDirection direction : kDirections) {
        CAPTURE(k.name);
        CAPTURE(name_of(direction));
        ConvProblem problem = problem_of(k, direction, both(DType::bf16));
        problem.bias = direction != ConvDirection::dgrad;
        // Both ways through the code are met: one pass, and parts that are added.
        if (direction == ConvDirection::fprop) CHECK((plan_mma(problem).splits > 1) == (k.name == split.name));
        Random random(3);
        const GpuConv before(problem, Grad::overwrite, random);
        GpuConv first = before;
        first.run(row_named(gpu, "mma"), gpu);
        gpu.for_each_order([&](const std::string& order) {
          CAPTURE(order);
          GpuConv again = before;
          again.run(row_named(gpu, "mma"), gpu, 1e30f);
          CHECK(same_results(first, again));
        });
      }
  });
}

TEST_CASE("conv mma: activations") {
  for_each_gpu([](const Gpu& gpu) {
    Random random(4);
    for (int a = 0; a < kActivations; ++a)
      for (const int c : {8, 136}) {  // in one pass, and after parts have been added
        const ConvCase k{"activation", 1, 3, 5, square(c, 11, 3, 1, 1)};
        ConvProblem problem = problem_of(k, ConvDirection::fprop, {DType::bf16, DType::f32});
        problem.bias = true;
        problem.activation = static_cast<Activation>(a);
        CAPTURE(name_of(problem.activation));
        check_row(row_named(gpu, "mma"), gpu, problem, Grad::overwrite, random);
      }
  });
}

TEST_CASE("conv mma: what it does not take") {
  for_each_gpu([](const Gpu& gpu) {
    const ConvRow& row = row_named(gpu, "mma");
    const ConvCase plain{"plain", 1, 8, 8, square(16, 16, 3, 1, 1)};
    const auto supports = [&](ConvDirection direction, DType x, DType y, ConvGeometry geometry) {
      ConvProblem problem = problem_of(plain, direction, {x, y});
      problem.geometry = geometry;
      return row.supports(problem);
    };
    ConvGeometry groups = plain.geometry;
    groups.groups = 2;
    for (const ConvDirection direction : kDirections) {
      CHECK(supports(direction, DType::bf16, DType::bf16, plain.geometry));
      CHECK_FALSE(supports(direction, DType::f32, DType::f32, plain.geometry));
      CHECK_FALSE(supports(direction, DType::bf16, DType::f16, plain.geometry));
      CHECK_FALSE(supports(direction, DType::bf16, DType::bf16, groups));
      const bool fprop = direction == ConvDirection::fprop, dgrad = direction == ConvDirection::dgrad;
      CHECK(supports(direction, DType::bf16, DType::f32, plain.geometry) == fprop);
      CHECK(supports(direction, DType::bf16, DType::bf16, square(16, 16, 3, 5, 1)) == !dgrad);
    }
  });
}

TEST_CASE("conv mma: the rule that chooses tiles and splits") {
  const auto plan = [](ConvDirection direction, int n, int size, ConvGeometry geometry) {
    return plan_mma({.direction = direction,
                     .geometry = geometry,
                     .n = n,
                     .h = size,
                     .w = size,
                     .x = DType::bf16,
                     .y = DType::bf16});
  };
  // Enough pixels for large tiles; few pixels: small tiles, then parts of the reduction.
  const MmaPlan many = plan(ConvDirection::fprop, 64, 52, square(128, 128, 3, 1, 1));
  CHECK((many.tile == MmaTile::t128x128 && many.splits == 1));
  const MmaPlan few = plan(ConvDirection::fprop, 1, 13, square(512, 512, 3, 1, 1));
  CHECK((few.tile == MmaTile::t64x64 && few.splits == 11));  // 3 x 8 tiles, 264 blocks
  CHECK(plan(ConvDirection::fprop, 64, 104, square(32, 32, 3, 1, 1)).tile == MmaTile::t128x32);
  CHECK(plan(ConvDirection::dgrad, 64, 104, square(64, 32, 3, 2, 1)).tile == MmaTile::t128x64);
  const MmaPlan filters = plan(ConvDirection::wgrad, 64, 52, square(64, 64, 3, 1, 1));
  CHECK((filters.tile == MmaTile::t128x64 && filters.splits == 52));  // 5 tiles, 260 blocks
  // A part has at least 4 steps of the pipeline.
  CHECK(plan(ConvDirection::fprop, 1, 4, square(64, 16, 1)).splits == 1);
}

TEST_CASE("conv mma: division by multiplication") {
  for (const int divisor : {1, 2, 3, 5, 7, 13, 26, 52, 104, 127, 128, 129, 208, 416, 32767, 1 << 20, (1 << 30) - 1})
    for (const int n :
         {0, 1, divisor - 1, divisor, divisor + 1, 12345, 7 * (divisor / 8), 0x3fffffff, 0x7ffffffe, 0x7fffffff})
      CHECK(FastDivision(divisor).divide(n) == n / divisor);
}
