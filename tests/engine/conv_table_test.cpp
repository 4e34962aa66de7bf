// Which convolution is chosen, and finding a backend.
#include "engine/conv_table.h"

#include <doctest/doctest.h>

#include "base/error.h"

using namespace rook;

namespace {

ConvProblem problem(DType type) {
  return {.geometry = {.c = 16, .k = 16, .r = 3, .s = 3, .pad_h = 1, .pad_w = 1},
          .n = 1,
          .h = 8,
          .w = 8,
          .x = type,
          .y = type};
}

}  // namespace

TEST_CASE("conv table: the first row that supports the problem, unless another is forced") {
  const ConvTable table(cpu_backend());
  CHECK(table.choose(problem(DType::f32)).name == "onednn");
  CHECK(table.fast(problem(DType::f32)));
  CHECK(table.choose(problem(DType::f64)).name == "ref");  // only the reference knows doubles
  CHECK_FALSE(table.fast(problem(DType::f64)));
  const ConvTable slow(cpu_backend(), "ref");
  CHECK(slow.choose(problem(DType::f32)).name == "ref");
  CHECK_FALSE(slow.fast(problem(DType::f32)));
  const ConvTable forced(cpu_backend(), "onednn");
  CHECK(forced.choose(problem(DType::f32)).name == "onednn");
  CHECK(forced.choose(problem(DType::f64)).name == "ref");  // where the forced one cannot, the default rule
  CHECK(ConvTable(ref_backend()).choose(problem(DType::f32)).name == "ref");
}

TEST_CASE("conv table: errors list what there is") {
  CHECK_THROWS_WITH_AS(ConvTable(cpu_backend(), "cudnn"),
                       doctest::Contains("--conv cudnn: no such convolution on cpu; there are: winograd, onednn, ref"),
                       Error);
  CHECK_THROWS_WITH_AS(ConvTable(ref_backend(), "onednn"), doctest::Contains("there are: ref"), Error);
}

TEST_CASE("backends are found by name") {
  CHECK(&find_backend("cpu") == &cpu_backend());
  const bool gpu = cuda_backend() && why_no_gpu().empty();
  CHECK(&find_backend("auto") == (gpu ? cuda_backend() : &cpu_backend()));
  if (!gpu) CHECK_THROWS_WITH_AS(find_backend("cuda"), doctest::Contains("device 'cuda': "), Error);
  CHECK(&find_backend("ref") == &ref_backend());
  CHECK_THROWS_WITH_AS(find_backend("tpu"), doctest::Contains("there are: auto, cpu, cuda, emu, ref"), Error);
  CHECK_THROWS_AS(find_backend(""), Error);
}
