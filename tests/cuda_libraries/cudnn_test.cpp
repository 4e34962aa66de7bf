// Plans of cuDNN without a GPU: since 9.8 it plans for a device of which it only has a description. That the plans
// compute what they should is tested where there is a GPU (tests/kernels/emu).
#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "base/error.h"
#include "kernels/cudnn/plan.h"
#include "kernels/runtime.h"
#include "tests/kernels/conv_shapes.h"

using namespace rook;
using rook::test::square;
using namespace rook::cuda;

namespace {

constexpr std::string_view kH100 =
    R"({"cudaDeviceId":0,"deviceVer":900,"driverVer":13000,"totalGlobalMem":85000000000,)"
    R"("maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,)"
    R"("multiProcessorCount":132,"smClockRateKHz":1980000,"memClockRateKHz":2619000,"l2CacheSize":52428800,)"
    R"("warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":232448,)"
    R"("reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"pciDeviceId":0,"maxCtasPerSM":32,)"
    R"("maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"isTccDriver":0,"supportCoopLaunch":1,)"
    R"("deviceName":"NVIDIA H100 80GB HBM3"})";

CudnnDescriptor h100() {
  CudnnDescriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, static_cast<std::int64_t>(kH100.size()),
                 kH100.data());
  properties.finalize();
  return properties;
}

}  // namespace

TEST_CASE("cudnn: every direction, type and shape has a plan on an H100") {
  REQUIRE_MESSAGE(cudnn().fault.empty(), cudnn().fault);
  const CudnnDescriptor device = h100();
  const CudnnTarget target{.properties = &device};
  const ConvGeometry geometries[] = {
      square(64, 128, 3, 1, 1),       square(64, 128, 3, 2, 1),       square(128, 255, 1),    square(3, 32, 3, 2, 1),
      square(64, 64, 3, 1, 1, 1, 64), square(64, 128, 3, 1, 1, 1, 4), square(21, 33, 5, 1, 2)};
  for (const ConvGeometry& geometry : geometries)
    for (const DType type : {DType::f32, DType::bf16, DType::f16})
      for (const ConvDirection direction : {ConvDirection::fprop, ConvDirection::dgrad, ConvDirection::wgrad}) {
        const ConvProblem problem{
            .direction = direction, .geometry = geometry, .n = 2, .h = 26, .w = 26, .x = type, .y = type};
        CAPTURE(describe(problem));
        const auto plan = make_cudnn_plan(target, problem);
        REQUIRE(plan);
        CHECK(plan->workspace <= std::size_t{1} << 30);
        CHECK_FALSE(plan->fused);  // there is nothing to fuse
        if (type == DType::f32) CHECK(plan->dweights == DType::f32);
      }
}

TEST_CASE("cudnn: a bias is part of the f32 plan, and without an engine that fuses there is a plan without") {
  REQUIRE_MESSAGE(cudnn().fault.empty(), cudnn().fault);
  const CudnnDescriptor device = h100();
  const CudnnTarget target{.properties = &device};
  ConvProblem problem{.geometry = square(64, 128, 3, 1, 1), .n = 2, .h = 26, .w = 26, .bias = true};
  auto plan = make_cudnn_plan(target, problem);
  REQUIRE(plan);
  CHECK(plan->fused);
  problem.activation = Activation::mish;  // cuDNN has none
  CHECK_FALSE(cudnn_fuses(problem.activation));
  plan = make_cudnn_plan(target, problem);
  REQUIRE(plan);
  CHECK_FALSE(plan->fused);
  problem.activation = Activation::leaky;  // by an engine that is compiled when it is needed, which takes a driver
  CHECK(cudnn_fuses(problem.activation));
  CHECK(make_cudnn_plan(target, problem));
}

TEST_CASE("cudnn: what it cannot express has no plan") {
  REQUIRE_MESSAGE(cudnn().fault.empty(), cudnn().fault);
  const CudnnDescriptor device = h100();
  const ConvGeometry cut{.c = 4, .k = 4, .pad_h = 1, .pad_w = 1, .dilation = 3};  // ends before its input does
  CHECK_FALSE(make_cudnn_plan({.properties = &device}, {.geometry = cut, .n = 1, .h = 5, .w = 5}));
}

TEST_CASE("cudnn: errors are in its own words") {
  REQUIRE_MESSAGE(cudnn().fault.empty(), cudnn().fault);
  CudnnDescriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  CHECK_THROWS_WITH_AS(tensor.finalize(), doctest::Contains("cuDNN: finalising a descriptor failed: CUDNN_STATUS_"),
                       Error);
}

TEST_CASE("cudnn: the row says why it can run nothing where there is no GPU") {
  REQUIRE(cudnn_rows().size() == 1);
  const ConvRow& row = cudnn_rows()[0];
  CHECK_FALSE(row.ours());
  CHECK(row.version().starts_with("cuDNN 9."));
  if (runtime().unusable().empty()) return;  // a GPU: tests/kernels/emu runs the row
  CHECK(row.unavailable() == runtime().unusable());
  const ConvProblem problem{.geometry = square(16, 16, 3, 1, 1), .n = 1, .h = 8, .w = 8};
  CHECK_FALSE(row.supports(problem));
  CHECK_THROWS_WITH_AS(row.workspace(problem), doctest::Contains("cuDNN: fprop 8x8x16 > 16, 3x3/1, batch 1, f32"),
                       Error);
}
