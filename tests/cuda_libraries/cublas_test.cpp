// Products of cuBLASLt as far as they go without a GPU: the library is found and its descriptors are made. The numbers
// in them are tested in tests/kernels/conv_library_test.cpp, results where there is a GPU (tests/kernels/emu).
#include <doctest/doctest.h>

#include "base/error.h"
#include "kernels/cublas/plan.h"
#include "kernels/runtime.h"

using namespace rook;
using namespace rook::cuda;

TEST_CASE("cublas: a product is described in every direction and type") {
  REQUIRE_MESSAGE(cublas_lt().fault.empty(), cublas_lt().fault);
  for (const DType type : {DType::f32, DType::bf16, DType::f16})
    for (const ConvDirection direction : {ConvDirection::fprop, ConvDirection::dgrad, ConvDirection::wgrad}) {
      const ConvProblem problem{.direction = direction,
                                .geometry = {.c = 48, .k = 255},
                                .n = 2,
                                .h = 13,
                                .w = 13,
                                .x = type,
                                .y = type,
                                .bias = true};
      const CublasPlan plan = describe_product(problem, direction == ConvDirection::fprop);
      CHECK((plan.product && plan.a && plan.b && plan.d));
      CHECK(plan.adds_bias == (direction == ConvDirection::fprop));
      CHECK_FALSE(plan.activates);
    }
}

TEST_CASE("cublas: relu is part of the product, other activations are not") {
  REQUIRE_MESSAGE(cublas_lt().fault.empty(), cublas_lt().fault);
  ConvProblem problem{
      .geometry = {.c = 16, .k = 16}, .n = 1, .h = 4, .w = 4, .bias = true, .activation = Activation::relu};
  CHECK(describe_product(problem, true).activates);
  CHECK_FALSE(describe_product(problem, false).activates);
  problem.activation = Activation::leaky;
  CHECK_FALSE(describe_product(problem, true).activates);
  CHECK(describe_product(problem, true).adds_bias);
}

TEST_CASE("cublas: the row says why it can run nothing where there is no GPU") {
  REQUIRE(cublas_rows().size() == 1);
  const ConvRow& row = cublas_rows()[0];
  CHECK_FALSE(row.ours());
  CHECK(row.version().starts_with("cuBLASLt "));
  const ConvProblem padded{.geometry = {.c = 16, .k = 16, .pad_h = 1, .pad_w = 1}, .n = 1, .h = 4, .w = 4};
  CHECK_FALSE(row.supports(padded));
  if (runtime().unusable().empty()) return;  // a GPU: tests/kernels/emu runs the row
  CHECK(row.unavailable() == runtime().unusable());
  const ConvProblem problem{.geometry = {.c = 16, .k = 16}, .n = 1, .h = 4, .w = 4};
  CHECK_FALSE(row.supports(problem));
  CHECK_THROWS_WITH_AS(row.workspace(problem), doctest::Contains("cuBLASLt: fprop 4x4x16 > 16, 1x1/1, batch 1, f32"),
                       Error);
}
