// The optimizer: cpu against ref over several steps, a few steps worked out by hand, frozen segments, non-finite
// gradients.
#include <vector>

#include "base/error.h"
#include "tests/kernels/optimizer_cases.h"

namespace rook::test {
TEST_CASE("sgd_update: three steps worked out by hand (darknet.md 7.2)") {
  const std::vector<ParamSegment> segments = {{.begin = 0, .end = 1, .lr_scale = 1, .decay = 0.5f}};
  for (const bool reference : {false, true}) {
    float w = 1, v = 0;
    const float g = 2;
    // v: 0.25 * 2 + 0.5 * 1 = 1; w: 1 - 0.5 = 0.5
    // v: 0.5 * 1 + 0.5 + 0.25 = 1.25; w: 0.5 - 0.625 = -0.125
    // v: 0.625 + 0.5 - 0.0625 = 1.0625; w: -0.125 - 0.53125 = -0.65625
    const float weights[] = {0.5f, -0.125f, -0.65625f}, velocities[] = {1, 1.25f, 1.0625f};
    for (int step = 0; step < 3; ++step) {
      const SgdUpdate args{.weights = &w,
                           .gradient = &g,
                           .velocity = &v,
                           .segments = segments,
                           .lr = 0.5f,
                           .momentum = 0.5f,
                           .gradient_scale = 0.25f};
      if (reference)
        ref::sgd_update(args);
      else
        cpu::sgd_update(args);
      CHECK(w == weights[step]);
      CHECK(v == velocities[step]);
    }
  }
}

TEST_CASE("adamw_update: the first step is lr in the direction of the sign, decay apart") {
  const std::vector<ParamSegment> segments = {{.begin = 0, .end = 3, .lr_scale = 1, .decay = 0.1f}};
  for (const bool reference : {false, true}) {
    float w[] = {1, 1, 1}, m[3] = {}, v[3] = {};
    const float g[] = {100, -0.001f, 0};
    const AdamWUpdate args{.weights = w, .gradient = g, .m = m, .v = v, .segments = segments, .lr = 0.01f};
    if (reference)
      ref::adamw_update(args);
    else
      cpu::adamw_update(args);
    CHECK(w[0] == doctest::Approx(1 - 0.01 * (1 + 0.1)));
    CHECK(w[1] == doctest::Approx(1 - 0.01 * (-1 + 0.1)).epsilon(1e-6));
    CHECK(w[2] == doctest::Approx(1 - 0.01 * 0.1));
    CHECK(m[0] == doctest::Approx(10));
    CHECK(v[0] == doctest::Approx(10));
  }
}

TEST_CASE("sgd_update: cpu is ref over several steps; what is frozen or between segments is untouched") {
  test_sgd(cpu_subject());
}
TEST_CASE("adamw_update: cpu is ref over several steps; what is frozen or between segments is untouched") {
  test_adamw(cpu_subject());
}
TEST_CASE("ema_update: cpu is ref") {
  test_ema(cpu_subject());
}
TEST_CASE("gradient_norm: cpu is ref, counts only what is trained, and does not overflow") {
  test_gradient_norm(cpu_subject());
}
TEST_CASE("gradient_norm: names the last segment with a NaN or an infinity, wherever it is in it") {
  test_bad_segment(cpu_subject());
}
TEST_CASE("optimizer: a step that was spoilt changes nothing") {
  test_spoilt_step(cpu_subject());
}
TEST_CASE("advance_step: the tables' values, the last for ever") {
  test_advance_step(cpu_subject());
}
TEST_CASE("limit_gradient: averaging, clipping, and the first bad segment") {
  test_limit_gradient(cpu_subject());
}

TEST_CASE("optimizer: arguments that do not fit are errors") {
  float w = 0, g = 0, v = 0, m = 0;
  double sum = 0;
  const std::vector<ParamSegment> backwards = {{.begin = 5, .end = 2}}, negative = {{.begin = -1, .end = 2}};
  const std::vector<ParamSegment> good = {{.begin = 0, .end = 1}};
  CHECK_THROWS_AS(cpu::sgd_update({.weights = &w, .gradient = &g, .velocity = &v, .segments = backwards}), Error);
  CHECK_THROWS_AS(cpu::sgd_update({.weights = &w, .gradient = &g, .velocity = &v, .segments = negative}), Error);
  CHECK_THROWS_AS(cpu::sgd_update({.weights = &w, .gradient = nullptr, .velocity = &v, .segments = good}), Error);
  CHECK_THROWS_AS(
      cpu::adamw_update({.weights = &w, .gradient = &g, .m = &m, .v = &v, .segments = good, .optimizer_step = 0}),
      Error);
  CHECK_THROWS_AS(ref::adamw_update({.weights = &w, .gradient = &g, .m = nullptr, .v = &v, .segments = good}), Error);
  CHECK_THROWS_AS(cpu::gradient_norm({.gradient = &g, .segments = good, .sum_of_squares = &sum}), Error);
  CHECK_THROWS_AS(cpu::ema_update({.average = &w, .value = &g, .count = -1}), Error);
  CHECK_THROWS_AS(cpu::ema_update({.average = nullptr, .value = &g, .count = 1}), Error);
}

}  // namespace rook::test
