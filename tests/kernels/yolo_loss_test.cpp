// yolo_loss, fixed mode, on the CPU: by hand, every gradient by finite differences, against ref.
#include "kernels/ref/yolo_loss.h"
#include "base/error.h"
#include "tests/kernels/yolo_loss_cases.h"

using namespace rook;
using namespace rook::test;

TEST_CASE("yolo_loss fixed: every gradient is that of finite differences") {
  Random random(17);
  for (const NamedParams& variant : fixed_variants()) {
    CAPTURE(std::string(variant.name));
    LossBatch batch = fixed_batch(variant, 1, 2, 3, random, DType::f64, DType::f64);
    add_truths(batch, 0);
    batch.run(ref_subject());
    const YoloLoss& args = batch.bind();
    const ref::FixedPoint point = ref::fixed_point(args);
    std::int64_t ignored = 0, nonzero = 0;
    for (const auto& targets : point.objectness) {
      ignored += std::count(targets.begin(), targets.end(), ref::FixedPoint::kIgnored);
    }
    for (std::size_t h = 0; h < 2; ++h) {
      check_gradient(
          "dlogits", batch.logits(h), batch.gradient(h), batch.logits(h).elements(),
          [&] { return ref::fixed_loss(args, point); }, random, 1e-5, {2e-7, 1e-5}, batch.logits(h).elements());
      for (double g : batch.gradient(h).to_doubles()) nonzero += g != 0;
    }
    CHECK(ignored > 0);   // the case has what it is to test
    CHECK(nonzero > 60);  // an objectness per anchor, and more
    batch.run(ref_subject());
    check_near(batch.parts[0].box + batch.parts[0].objectness + batch.parts[0].classes, ref::fixed_loss(args, point),
               1e-5, "loss");
  }
}

TEST_CASE("yolo_loss fixed: a perfect box by hand") {
  test_fixed_perfect_box(cpu_subject());
  test_fixed_perfect_box(ref_subject());
}

TEST_CASE("yolo_loss fixed: mse by hand") {
  test_fixed_mse(cpu_subject());
  test_fixed_mse(ref_subject());
}

TEST_CASE("yolo_loss fixed: a good box that no truth took is left alone") {
  test_fixed_ignored(cpu_subject());
  test_fixed_ignored(ref_subject());
}

TEST_CASE("yolo_loss fixed: two truths on one anchor cell") {
  test_fixed_two_truths(cpu_subject());
  test_fixed_two_truths(ref_subject());
}

TEST_CASE("yolo_loss fixed: assignment") {
  test_fixed_assignment(cpu_subject());
  test_fixed_assignment(ref_subject());
}

TEST_CASE("yolo_loss fixed: hot logits stay finite, NaN shows") {
  test_fixed_hot_logits(cpu_subject());
}

TEST_CASE("yolo_loss fixed: cpu equals ref") {
  test_fixed_equals_ref(cpu_subject());
}

TEST_CASE("yolo_loss fixed: hundreds of truths") {
  test_fixed_many_truths(cpu_subject());
}

TEST_CASE("yolo_loss fixed: the smallest head") {
  test_fixed_smallest(cpu_subject());
}

TEST_CASE("yolo_loss fixed: bf16 gradients are the rounded ones") {
  test_fixed_bf16(cpu_subject());
}

TEST_CASE("yolo_loss: wrong arguments are errors") {
  const auto broken = [](auto change) {
    Random random(31);
    LossBatch batch = fixed_batch(fixed_variants()[0], 1, 2, 3, random);
    add_truths(batch, 0);
    YoloLoss args = batch.bind();
    std::vector<std::byte> memory(cpu::yolo_loss_workspace(args));
    args.workspace = memory.data();
    std::vector<LossHead> heads(args.heads.begin(), args.heads.end());
    std::int32_t count = 4;
    args.heads = heads;
    args.truth_counts = &count;
    change(args, heads, count);
    CHECK_THROWS_AS(cpu::yolo_loss(args), Error);
  };
  using Heads = std::vector<LossHead>;
  broken([](YoloLoss& args, Heads&, std::int32_t&) { args.workspace = nullptr; });
  broken([](YoloLoss& args, Heads&, std::int32_t&) { args.heads = {}; });
  broken([](YoloLoss& args, Heads&, std::int32_t&) { args.parts = nullptr; });
  broken([](YoloLoss& args, Heads&, std::int32_t&) { args.gradient_scale = INFINITY; });
  broken([](YoloLoss&, Heads&, std::int32_t& count) { count = 13; });
  broken([](YoloLoss&, Heads&, std::int32_t& count) { count = -1; });
  broken([](YoloLoss&, Heads& heads, std::int32_t&) { heads[1].head.anchor_w[2] += 1; });
  broken([](YoloLoss&, Heads& heads, std::int32_t&) { heads[1].head.mask[2] = 1; });
  broken([](YoloLoss&, Heads& heads, std::int32_t&) { heads[0].logits.c -= 1; });
  broken([](YoloLoss&, Heads& heads, std::int32_t&) { heads[0].dlogits.h -= 1; });
  broken([](YoloLoss&, Heads& heads, std::int32_t&) { heads[0].head.kind = HeadKind::gaussian; });
  broken([](YoloLoss&, Heads& heads, std::int32_t&) { heads[0].logits.dtype = DType::bf16; });
  broken([](YoloLoss&, Heads& heads, std::int32_t&) { heads[0].params.label_smooth_eps = 1.5f; });
}
