// Convolution in f32 arithmetic on a GPU: the rows "depthwise", "first" and "direct" against the reference in double.
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/kernels/emu/conv_setup.h"
#include "tests/sanitized.h"

using namespace rook;
using namespace rook::test;

namespace {

constexpr Types kTypes[] = {{DType::f32, DType::f32},
                            {DType::bf16, DType::bf16},
                            {DType::f16, DType::f16},
                            {DType::bf16, DType::f32},
                            {DType::f16, DType::f32}};

// Types decide what is loaded and stored, not what threads do with it.
std::span<const Types> types_for(const Gpu& gpu) {
  return std::span(kTypes).first(gpu.watched ? 1 : std::size(kTypes));
}

bool is_plain(const ConvRow& row) {
  return row.name == "depthwise" || row.name == "first" || row.name == "direct";
}

std::vector<ConvRow> plain_rows(const Gpu& gpu) {
  std::vector<ConvRow> rows;
  for (const ConvRow& row : gpu.ops->conv_rows())
    if (is_plain(row)) rows.push_back(row);
  return rows;
}

// Every plain row that takes the problem; returns their names.
std::vector<std::string> check_rows(const Gpu& gpu, const ConvProblem& problem, Grad mode, Random& random) {
  std::vector<std::string> names;
  INFO(describe_conv(problem, mode));
  const GpuConv start(problem, mode, random), truth = start.truth();
  for (const ConvRow& row : plain_rows(gpu)) {
    if (!row.supports(problem)) continue;
    CAPTURE(row.name);
    GpuConv ours = start;
    ours.run(row, gpu);
    check_results(ours, truth);
    names.emplace_back(row.name);
  }
  return names;
}

}  // namespace

TEST_CASE("gpu conv: every row agrees with the reference in all directions") {
  for_each_gpu([](const Gpu& gpu) {
    Random random(1);
    std::map<std::string, int> ran;
    for (const ConvCase& k : kConvCases) {
      CAPTURE(k.name);
      for (const Types types : types_for(gpu))
        for (const ConvDirection direction : kDirections)
          for (const bool second : {false, true}) {  // with a bias; dgrad: adding to what is there
            if ((gpu.watched || kSanitized) && !second) continue;
            const bool dgrad = direction == ConvDirection::dgrad;
            // Mixed types are those of logits: no gradient is kept so.
            if (types.x != types.y && (direction != ConvDirection::fprop || !second)) continue;
            const ConvProblem problem = problem_of(k, direction, types, second && !dgrad);
            REQUIRE((problem.p() > 0 && problem.q() > 0));
            const Grad mode = dgrad && second ? Grad::accumulate : Grad::overwrite;
            const auto names = check_rows(gpu, problem, mode, random);
            CHECK(std::find(names.begin(), names.end(), "direct") != names.end());
            for (const std::string& name : names) ++ran[name + " " + name_of(direction)];
          }
    }
    for (const char* expected : {"depthwise fprop", "depthwise dgrad", "depthwise wgrad", "first fprop", "first wgrad",
                                 "direct fprop", "direct dgrad", "direct wgrad"})
      CHECK_MESSAGE(ran[expected] >= (gpu.watched  ? 3
                                      : kSanitized ? 9
                                                   : 18),
                    expected, " ran ", ran[expected], " times");
  });
}

TEST_CASE("gpu conv: slices of wider tensors" * unwatched()) {
  for_each_gpu([](const Gpu& gpu) {
    Random random(8);
    std::map<std::string, int> ran;
    constexpr ConvCase kSliced[] = {
        {"first layer", 1, 13, 17, square(3, 16, 3, 2, 1)},
        {"3x3", 2, 7, 5, square(16, 40, 3, 1, 1)},
        {"pointwise", 1, 7, 5, square(13, 37, 1)},
        {"groups", 1, 5, 7, square(16, 8, 3, 1, 1, 1, 2)},
        {"depthwise", 1, 9, 7, square(16, 16, 3, 2, 1, 1, 16)},
        {"depthwise, twice the filters", 1, 7, 7, square(9, 18, 3, 1, 1, 1, 9)},
    };
    for (const ConvCase& k : kSliced)
      for (const Types types : {Types{DType::f32, DType::f32}, Types{DType::bf16, DType::bf16}})
        for (const ConvDirection direction : kDirections)
          for (const auto& [more_x, more_y] : {std::pair{16, 16}, {3, 5}, {0, 16}}) {
            const ConvProblem problem =
                sliced(problem_of(k, direction, types, direction != ConvDirection::dgrad), more_x, more_y);
            CAPTURE(k.name);
            INFO(describe(problem));
            for (const std::string& name :
                 check_rows(gpu, problem, more_x == 3 ? Grad::accumulate : Grad::overwrite, random))
              ++ran[name];
          }
    for (const auto& least : {std::pair{"direct", 108}, {"depthwise", 36}, {"first", 4}})
      CHECK_MESSAGE(ran[least.first] >= least.second, least.first, " ran ", ran[least.first], " times");
  });
}

TEST_CASE("gpu conv: fused activations") {
  for_each_gpu([](const Gpu& gpu) {
    Random random(2);
    constexpr ConvGeometry kGeometries[] = {square(3, 21, 3, 1, 1), square(16, 33, 1), square(16, 16, 3, 1, 1, 1, 16)};
    for (int a = 0; a < kActivations; ++a)
      for (const ConvGeometry& geometry : kGeometries)
        for (const Types types : types_for(gpu)) {
          const ConvProblem problem{.geometry = geometry,
                                    .n = 2,
                                    .h = 7,
                                    .w = 5,
                                    .x = types.x,
                                    .y = types.y,
                                    .bias = true,
                                    .activation = static_cast<Activation>(a)};
          CHECK(check_rows(gpu, problem, Grad::overwrite, random).size() ==
                (geometry.c == 16 && geometry.groups == 1 ? 1 : 2));
        }
  });
}

TEST_CASE("gpu conv: the same bits in every order of threads, whatever lay in the memory" * unwatched()) {
  for_each_gpu([](const Gpu& gpu) {
    Random random(3);
    constexpr ConvCase kOrders[] = {
        {"3x3, stride 2", 2, 19, 17, square(24, 72, 3, 2, 1)},
        {"groups", 1, 23, 29, square(6, 10, 3, 1, 1, 1, 2)},
        {"first layer", 2, 35, 33, square(3, 33, 3, 2, 1)},
        {"depthwise", 2, 29, 31, square(24, 24, 3, 1, 1, 1, 24)},
    };
    for (const ConvCase& k : kOrders)
      for (const DType type : {DType::f32, DType::bf16})
        for (const ConvDirection direction : kDirections) {
          const ConvProblem problem = problem_of(k, direction, both(type), direction != ConvDirection::dgrad);
          CAPTURE(k.name);
          INFO(describe_conv(problem, Grad::overwrite));
          const GpuConv start(problem, Grad::overwrite, random);
          for (const ConvRow& row : plain_rows(gpu)) {
            if (!row.supports(problem)) continue;
            CAPTURE(row.name);
            GpuConv first = start;
            first.run(row, gpu);
            gpu.for_each_order([&](const std::string& order) {
              GpuConv again = start;
              if (direction == ConvDirection::fprop) again.y.poison(Poison::huge);
              if (direction == ConvDirection::dgrad) again.x.poison(Poison::huge);
              again.run(row, gpu, 1e30f);
              CHECK_MESSAGE(same_results(first, again), "another result in the order ", order);
            });
          }
        }
  });
}

TEST_CASE("gpu conv: tensors that begin anywhere") {
  // Images of a batch need not begin at 16 bytes.
  for_each_gpu([](const Gpu& gpu) {
    Random random(4);
    for (const ConvGeometry& geometry : {square(8, 16, 3, 1, 1), square(8, 8, 3, 1, 1, 1, 8), square(4, 16, 3, 2, 1)})
      for (const DType type : {DType::f32, DType::bf16, DType::f16})
        for (const ConvDirection direction : kDirections) {
          const ConvProblem problem{
              .direction = direction, .geometry = geometry, .n = 1, .h = 6, .w = 5, .x = type, .y = type};
          INFO(describe_conv(problem, Grad::overwrite));
          const GpuConv start(problem, Grad::overwrite, random), truth = start.truth();
          for (const ConvRow& row : plain_rows(gpu)) {
            if (!row.supports(problem)) continue;
            CAPTURE(row.name);
            const auto shifted = [&](const TestTensor& t) {
              TestTensor wide(type, 1, 1, 1, static_cast<int>(t.elements()) + 1);
              for (std::int64_t i = 0; i < t.elements(); ++i) wide.set(i + 1, t.get(i));
              return wide;
            };
            const auto view = [&](const TestTensor& wide, const TestTensor& t) {
              Tensor moved = t.view();
              moved.data = wide.view().as<std::byte>() + size_of(type);
              return moved;
            };
            GpuConv ours = start;
            TestTensor x = shifted(ours.x), y = shifted(ours.y);
            const bool wgrad = direction == ConvDirection::wgrad;
            Mapped<float> packed(wgrad ? 0 : row.packed_bytes(problem) / 4), workspace(row.workspace(problem) / 4);
            if (!wgrad) row.pack(problem, ours.weights.data(), packed.data(), gpu.stream);
            ConvArgs args = ours.args(packed.data(), workspace.data());
            args.x = view(x, ours.x);
            args.y = view(y, ours.y);
            row.run(problem, args, gpu.stream);
            gpu.finish();
            for (std::int64_t i = 0; i < ours.x.elements(); ++i) ours.x.set(i, x.get(i + 1));
            for (std::int64_t i = 0; i < ours.y.elements(); ++i) ours.y.set(i, y.get(i + 1));
            check_results(ours, truth);
            CHECK((x.guards_intact() && y.guards_intact() && std::isnan(x.get(0)) && std::isnan(y.get(0))));
          }
        }
  });
}

TEST_CASE("gpu conv: wgrad needs no gradient of the bias") {
  for_each_gpu([](const Gpu& gpu) {
    Random random(5);
    for (const ConvGeometry& geometry : {square(5, 7, 3, 1, 1), square(6, 6, 3, 1, 1, 1, 6), square(3, 7, 3, 1, 1)}) {
      const ConvProblem problem{
          .direction = ConvDirection::wgrad, .geometry = geometry, .n = 1, .h = 5, .w = 4, .bias = true};
      for (const ConvRow& row : plain_rows(gpu)) {
        if (!row.supports(problem)) continue;
        CAPTURE(row.name);
        GpuConv s(problem, Grad::overwrite, random);
        const GpuConv before = s, truth = s.truth();
        TestArray<float> workspace(static_cast<std::int64_t>(row.workspace(problem) / 4));
        ConvArgs args = s.args(nullptr, workspace.data());
        args.dbias = nullptr;
        row.run(problem, args, gpu.stream);
        gpu.finish();
        CHECK(same_bits(s.dbias, before.dbias));
        check_close("dweights", s.dweights, truth.dweights, {1e-5, 1e-5});
      }
    }
  });
}

TEST_CASE("gpu conv: what a row does not take, and arguments that do not fit") {
  for_each_gpu([](const Gpu& gpu) {
    Random random(6);
    const ConvRow &depthwise = row_named(gpu, "depthwise"), &first = row_named(gpu, "first");
    const ConvProblem plain{.geometry = square(8, 6, 3, 1, 1), .n = 2, .h = 5, .w = 4};
    CHECK_FALSE(depthwise.supports(plain));
    CHECK_FALSE(first.supports(plain));
    ConvProblem rgb = plain;
    rgb.geometry.c = 3;
    CHECK(first.supports(rgb));
    rgb.direction = ConvDirection::dgrad;
    CHECK_FALSE(first.supports(rgb));
    for (const ConvRow& row : plain_rows(gpu)) {
      ConvProblem wide = plain;
      wide.x = wide.y = DType::f64;
      CHECK_FALSE(row.supports(wide));
      wide.x = DType::f32;
      wide.y = DType::bf16;
      CHECK_FALSE(row.supports(wide));
      GpuConv s(plain, Grad::overwrite, random);
      TestArray<float> packed(static_cast<std::int64_t>(row.packed_bytes(plain) / 4));
      ConvArgs args = s.args(packed.data(), nullptr);
      args.x.pitch = 9;
      CHECK_THROWS_AS(row.run(plain, args, gpu.stream), Error);
      args = s.args(packed.data(), nullptr);
      args.y.pitch = 7;
      CHECK_THROWS_AS(row.run(plain, args, gpu.stream), Error);
      args = s.args(nullptr, nullptr);
      CHECK_THROWS_AS(row.run(plain, args, gpu.stream), Error);
    }
  });
}
