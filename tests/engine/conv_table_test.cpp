// Which convolution is chosen, and finding a backend.
#include "engine/conv_table.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

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

TEST_CASE("conv table: ours is everything that is no library's") {
  const ConvTable ours(cpu_backend(), "ours");
  const ConvProblem p = problem(DType::f32);
  CHECK(ours.choose(p).ours());
  CHECK(ours.explain(p).why == ConvTable::Why::forced);
  for (const ConvRow& row : cpu_backend().conv_rows()) CHECK(row.ours() == !row.name.ends_with("onednn"));
  // The fastest of ours that was measured, though a library's was faster.
  const auto tuned = std::make_shared<TunedConvs>(TunedConvs{{p, {"onednn", "ref"}}});
  const ConvTable measured(cpu_backend(), ConvChoice("ours", tuned));
  CHECK(measured.choose(p).name == "ref");
  CHECK(measured.explain(p).why == ConvTable::Why::tuned);
}

TEST_CASE("conv table: without libraries, the reference loops only where none of ours can run") {
  const ConvTable ours(cpu_backend(), "ours");
  ConvProblem p = problem(DType::f32);
  CHECK(ours.choose(p).name == "direct");  // which says no where a library is faster
  CHECK(ours.fast(p));
  ConvProblem curved = p;
  curved.activation = Activation::mish;
  CHECK(ours.choose(curved).name == "winograd");  // direct knows slopes only
  p.geometry.c = 3;
  CHECK(ours.choose(p).name == "direct");
  p.geometry.r = p.geometry.s = 1;
  p.geometry.pad_h = p.geometry.pad_w = 0;
  CHECK(ours.choose(p).name == "direct");
  p.geometry.dilation = 2;
  CHECK(ours.choose(p).name == "ref");
  CHECK(ours.choose(problem(DType::f64)).name == "ref");
  CHECK(ConvTable(cpu_backend()).choose(problem(DType::f32)).name == "onednn");
}

TEST_CASE("conv table: forced before tuned before the rule") {
  const ConvProblem p = problem(DType::f32), bf16 = problem(DType::bf16);
  ConvProblem larger = p;
  larger.n = 2;
  const auto tuned = std::make_shared<TunedConvs>(TunedConvs{{p, {"ref", "onednn"}}});
  const ConvTable table(cpu_backend(), ConvChoice("", tuned));
  CHECK(table.choose(p).name == "ref");
  CHECK(table.explain(p).why == ConvTable::Why::tuned);
  CHECK(table.fast(p));  // the reference loops, but measured: as they are
  CHECK(table.choose(larger).name == ConvTable(cpu_backend()).choose(larger).name);  // another batch was not measured
  CHECK(table.explain(larger).why == ConvTable::Why::rule);
  CHECK(table.explain(bf16).why == ConvTable::Why::rule);
  const ConvTable forced(cpu_backend(), ConvChoice("onednn", tuned));
  CHECK(forced.choose(p).name == "onednn");
  CHECK(forced.explain(p).why == ConvTable::Why::forced);
}

TEST_CASE("conv table: a measured row that is gone, or does not take the problem, is passed over") {
  ConvProblem p = problem(DType::f64);
  const auto tuned = std::make_shared<TunedConvs>(TunedConvs{{p, {"cudnn", "onednn", "ref"}}});
  CHECK(ConvTable(cpu_backend(), ConvChoice("", tuned)).explain(p).row->name == "ref");
  const auto nothing = std::make_shared<TunedConvs>(TunedConvs{{p, {"cudnn"}}});
  CHECK(ConvTable(cpu_backend(), ConvChoice("", nothing)).explain(p).why == ConvTable::Why::rule);
}

TEST_CASE("conv table: a library that cannot be used says why when it is forced") {
  static std::vector<ConvRow> rows(cpu_backend().conv_rows().begin(), cpu_backend().conv_rows().end());
  ConvRow library = rows.front();
  library.name = "library";
  library.supports = [](const ConvProblem&) { return false; };
  library.version = [] { return std::string("library 1"); };
  library.unavailable = [] { return std::string("liblibrary.so cannot be loaded"); };
  rows.push_back(library);
  Backend backend = cpu_backend();
  backend.conv_rows = []() -> std::span<const ConvRow> { return rows; };
  CHECK_THROWS_WITH_AS(ConvTable(backend, "library"),
                       doctest::Contains("--conv library: liblibrary.so cannot be loaded"), Error);
  CHECK_NOTHROW(ConvTable(backend).choose(problem(DType::f32)));
}

TEST_CASE("conv table: keeps what it is asked, each once") {
  std::vector<ConvProblem> asked;
  ConvTable table(cpu_backend());
  table.choose(problem(DType::f64));
  table.record(&asked);
  table.choose(problem(DType::f32));
  table.fast(problem(DType::f32));
  table.choose(problem(DType::bf16));
  table.record(nullptr);
  table.choose(problem(DType::f64));
  CHECK(asked == std::vector{problem(DType::f32), problem(DType::bf16)});
}

TEST_CASE("conv table: errors list what there is") {
  std::string names;
  for (const ConvRow& row : cpu_backend().conv_rows()) names += std::string(row.name) + ", ";
  CHECK(names.find("onednn, sliced-winograd4, ") != std::string::npos);
  const std::string expected = "--conv cudnn: no such convolution on cpu; there are: " + names + "and ours";
  CHECK_THROWS_WITH_AS(ConvTable(cpu_backend(), "cudnn"), doctest::Contains(expected.c_str()), Error);
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
