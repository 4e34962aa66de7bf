// Products of cuBLASLt as far as they go without a GPU: the library is found and its descriptors are made. The numbers
// in them are tested in tests/kernels/conv_library_test.cpp, results where there is a GPU (tests/kernels/emu).
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstdint>

#include "base/error.h"
#include "kernels/cublas/plan.h"
#include "kernels/runtime.h"
#include "kernels/shared_library.h"

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

TEST_CASE("cublas: a product with a bias has an address for it, of the alignment that the bias will have") {
  REQUIRE_MESSAGE(cublas_lt().fault.empty(), cublas_lt().fault);
  Dl_info loaded{};
  REQUIRE(dladdr(reinterpret_cast<const void*>(cublas_lt().heuristic), &loaded) != 0);
  SharedLibrary library({loaded.dli_fname});
  decltype(&cublasLtMatmulDescGetAttribute) get = nullptr;
  library.find(&get, "cublasLtMatmulDescGetAttribute");
  REQUIRE((get != nullptr));
  for (const bool bias : {false, true}) {
    const CublasPlan plan =
        describe_product({.geometry = {.c = 48, .k = 255}, .n = 2, .h = 13, .w = 13, .bias = bias}, true);
    std::uintptr_t address = 0;
    std::size_t written = 0;
    CHECK(get(plan.product.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &address, sizeof address, &written) ==
          CUBLAS_STATUS_SUCCESS);
    CHECK(address == (bias ? 16 : 0));
  }
}

TEST_CASE("cublas: that it cannot be asked is an error, not the lack of an algorithm") {
  REQUIRE_MESSAGE(cublas_lt().fault.empty(), cublas_lt().fault);
  const ConvProblem problem{.geometry = {.c = 16, .k = 16}, .n = 1, .h = 4, .w = 4};
  CHECK_THROWS_WITH_AS(make_cublas_plan(nullptr, problem), doctest::Contains("asking for an algorithm"), Error);
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
