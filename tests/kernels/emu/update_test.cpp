// The optimizer's kernels against ref: norms, updates, averages, the state of a step in the device's memory.
#include <cmath>

#include "tests/kernels/emu/gpu_subject.h"

namespace rook::test {
namespace {

constexpr std::int64_t kCount = 20011;

// Segments of odd lengths and places, gaps between them, one of them frozen, in memory that a GPU reads.
Mapped<ParamSegment> odd_segments() {
  return {{.begin = 0, .end = 7, .lr_scale = 1, .decay = 0},
          {.begin = 7, .end = 5001, .lr_scale = 0.5f, .decay = 0.1f, .layer = 1},
          {.begin = 5001, .end = 9000, .lr_scale = 0, .decay = 0.1f, .layer = 2},
          {.begin = 9003, .end = 9004, .lr_scale = 2, .decay = 0, .layer = 3},
          {.begin = 9005, .end = kCount, .lr_scale = 1, .decay = 0.02f, .layer = 4}};
}

struct Arrays {
  explicit Arrays(std::uint64_t seed) : weights(kCount), gradient(kCount), first(kCount), second(kCount) {
    Random random(seed);
    weights.fill_uniform(random);
    gradient.fill_uniform(random);
    first.fill_uniform(random);
    second.fill_uniform(random, 0, 1);
  }
  bool same(const Arrays& other) const {
    return same_bits(weights, other.weights) && same_bits(first, other.first) && same_bits(second, other.second);
  }
  TestArray<float> weights, gradient, first, second;
};

constexpr Tolerance kUpdate{2e-6, 4e-6};

void check_arrays(const Arrays& actual, const Arrays& expected) {
  check_close("weights", actual.weights, expected.weights, kUpdate);
  check_close("first", actual.first, expected.first, kUpdate);
  check_close("second", actual.second, expected.second, kUpdate);
}

struct Norm {
  double squares = 0;
  std::int32_t bad = -2;
};

Norm norm_on(const Subject& subject, const TestArray<float>& gradient, const Mapped<ParamSegment>& segments) {
  Mapped<Norm> result(1);
  GradientNorm args{.gradient = gradient.data(),
                    .segments = segments,
                    .sum_of_squares = &result[0].squares,
                    .bad_segment = &result[0].bad};
  TestWorkspace workspace(subject.gradient_norm_workspace(args));
  args.workspace = workspace.data();
  subject.gradient_norm(args);
  CHECK(workspace.guards_intact());
  return result[0];
}

}  // namespace

TEST_CASE("cuda gradient_norm: the sum in double, without frozen segments and gaps, the same to the bit") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    const Mapped<ParamSegment> segments = odd_segments();
    Arrays arrays(1);
    Norm expected;
    ref::gradient_norm({.gradient = arrays.gradient.data(),
                        .segments = segments,
                        .sum_of_squares = &expected.squares,
                        .bad_segment = &expected.bad});
    subject.for_each_way([&] {
      const Norm norm = norm_on(subject, arrays.gradient, segments);
      CHECK(std::abs(norm.squares - expected.squares) <= 1e-12 * expected.squares);
      CHECK(norm.squares == norm_on(subject, arrays.gradient, segments).squares);
      CHECK(norm.bad == -1);
    });
    arrays.gradient[5500] = NAN;  // of the frozen segment
    arrays.gradient[9001] = NAN;  // of none
    CHECK(norm_on(subject, arrays.gradient, segments).bad == -1);
    for (const float value : {NAN, INFINITY, -INFINITY})
      for (const auto& [index, segment] : {std::pair{3, 0}, {7, 1}, {5000, 1}, {9003, 3}, {9005, 4}, {20010, 4}}) {
        Arrays spoilt(2);
        spoilt.gradient[index] = value;
        spoilt.gradient[0] = value;  // the last counts
        const Norm norm = norm_on(subject, spoilt.gradient, segments);
        CHECK(norm.bad == segment);
        CHECK(!std::isfinite(norm.squares));
      }
  });
}

TEST_CASE("cuda sgd, adamw and ema: as ref, with values of their own and from the state of a step") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    const Mapped<ParamSegment> segments = odd_segments();
    Mapped<StepState> state(1);
    state[0] = {.optimizer_step = 3, .lr = 0.01f, .gradient_scale = 0.25f, .ema_decay = 0.75f};
    for (const bool from_state : {false, true}) {
      const StepState* const step = from_state ? state.data() : nullptr;
      const StepState s = from_state ? state[0] : StepState{.optimizer_step = 7, .lr = 0.1f, .gradient_scale = 0.5f};
      const auto sgd = [&](Arrays& a, const StepState* where) {
        SgdUpdate args{.weights = a.weights.data(),
                       .gradient = a.gradient.data(),
                       .velocity = a.first.data(),
                       .segments = segments,
                       .momentum = 0.8f,
                       .step = where};
        if (!where) args.lr = s.lr, args.gradient_scale = s.gradient_scale;
        return args;
      };
      const auto adamw = [&](Arrays& a, const StepState* where) {
        AdamWUpdate args{.weights = a.weights.data(),
                         .gradient = a.gradient.data(),
                         .m = a.first.data(),
                         .v = a.second.data(),
                         .segments = segments,
                         .step = where};
        if (!where) args.lr = s.lr, args.gradient_scale = s.gradient_scale, args.optimizer_step = s.optimizer_step;
        return args;
      };
      const auto ema = [&](Arrays& a, const StepState* where) {
        EmaUpdate args{.average = a.first.data(), .value = a.weights.data(), .count = kCount, .step = where};
        if (!where) args.decay = from_state ? s.ema_decay : 0.9f;
        return args;
      };
      Arrays expected(3), first(3);
      ref::sgd_update(sgd(expected, nullptr));
      subject.sgd_update(sgd(first, step));
      check_arrays(first, expected);
      subject.for_each_way([&] {
        Arrays again(3);
        subject.sgd_update(sgd(again, step));
        CHECK(again.same(first));
      });
      Arrays wanted(4), ours(4);
      ref::adamw_update(adamw(wanted, nullptr));
      subject.adamw_update(adamw(ours, step));
      check_arrays(ours, wanted);
      Arrays averaged(5), average(5);
      ref::ema_update(ema(averaged, nullptr));
      subject.ema_update(ema(average, step));
      check_arrays(average, averaged);
    }
    // A gradient that was not finite: nothing changes any more.
    state[0].bad_segment = 2;
    const Arrays before(6);
    Arrays after(6);
    subject.sgd_update({.weights = after.weights.data(),
                        .gradient = after.gradient.data(),
                        .velocity = after.first.data(),
                        .segments = segments,
                        .step = state.data()});
    subject.adamw_update({.weights = after.weights.data(),
                          .gradient = after.gradient.data(),
                          .m = after.first.data(),
                          .v = after.second.data(),
                          .segments = segments,
                          .step = state.data()});
    subject.ema_update(
        {.average = after.first.data(), .value = after.weights.data(), .count = kCount, .step = state.data()});
    CHECK(after.same(before));
  });
}

TEST_CASE("cuda advance_step and limit_gradient: the host need not know the iteration") {
  for_each_gpu([](const Gpu& gpu) {
    const Subject subject = gpu_subject(gpu);
    Mapped<StepState> state(1);
    const Mapped<float> lrs{0.1f, 0.2f, 0.3f}, decays{0.5f, 0.6f, 0.7f};
    StepState expected = state[0];
    for (int i = 0; i < 4; ++i) {
      const AdvanceStep args{
          .step = state.data(), .lrs = lrs.data(), .ema_decays = decays.data(), .iterations = 3, .images = 4};
      AdvanceStep reference = args;
      reference.step = &expected;
      subject.advance_step(args);
      ref::advance_step(reference);
      CHECK(state[0].iteration == static_cast<std::uint32_t>(i + 1));
      CHECK((state[0].seen == 4 * (i + 1) && state[0].optimizer_step == i + 2 && state[0].gradient_scale == 1));
      CHECK((state[0].lr == expected.lr && state[0].ema_decay == expected.ema_decay));
    }
    CHECK((state[0].lr == 0.3f && state[0].ema_decay == 0.7f));  // the last entries hold
    Mapped<double> squares{25};
    Mapped<std::int32_t> bad{-1};
    const auto scale = [&](float factor, float clip) {
      subject.limit_gradient({.step = state.data(),
                              .sum_of_squares = squares.data(),
                              .bad_segment = bad.data(),
                              .scale = factor,
                              .clip = clip});
      return state[0].gradient_scale;
    };
    CHECK(scale(1, 0) == 1);
    CHECK(scale(0.5f, 0) == 0.5f);
    CHECK(scale(1, 10) == 1);
    CHECK(scale(1, 2) == doctest::Approx(0.4));
    CHECK(scale(0.5f, 2) == doctest::Approx(0.4));
    CHECK(state[0].bad_segment == -1);
    bad[0] = 3;
    scale(1, 0);
    bad[0] = 1;
    scale(1, 0);
    CHECK(state[0].bad_segment == 3);  // the first that was ever seen
  });
}

}  // namespace rook::test
