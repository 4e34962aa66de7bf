// The optimizer: cpu against ref over several steps, a few steps worked out by hand, frozen segments, non-finite
// gradients.
#include <cmath>
#include <vector>

#include "base/error.h"
#include "kernels/ops.h"
#include "tests/support.h"

namespace rook::test {
namespace {

constexpr std::int64_t kCount = 100003;

// Segments of odd sizes that leave gaps, one of them frozen and one empty.
std::vector<ParamSegment> odd_segments() {
  return {{.begin = 0, .end = 7, .lr_scale = 1, .decay = 0, .layer = 0},
          {.begin = 7, .end = 40001, .lr_scale = 1, .decay = 0.01f, .layer = 0},
          {.begin = 40001, .end = 50000, .lr_scale = 0, .decay = 0.01f, .layer = 1},
          {.begin = 50000, .end = 50000, .lr_scale = 1, .decay = 0, .layer = 2},
          {.begin = 50009, .end = kCount, .lr_scale = 0.5f, .decay = 0.1f, .layer = 3}};
}

bool is_updated(std::int64_t i) {
  return i < 40001 || i >= 50009;
}

struct Parameters {
  explicit Parameters(std::uint64_t seed) : weights(kCount), gradient(kCount), m(kCount), v(kCount) {
    Random random(seed);
    weights.fill_uniform(random);
    gradient.fill_uniform(random, -0.5, 0.5);
    m.fill_uniform(random, -0.1, 0.1);
    v.fill_uniform(random, 0, 0.1);
  }
  TestArray<float> weights, gradient, m, v;
};

}  // namespace

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
  const std::vector<ParamSegment> segments = odd_segments();
  Parameters start(1), a = start, b = start;
  for (int step = 0; step < 4; ++step) {
    const auto args = [&](Parameters& p) {
      return SgdUpdate{.weights = p.weights.data(),
                       .gradient = p.gradient.data(),
                       .velocity = p.m.data(),
                       .segments = segments,
                       .lr = 0.05f,
                       .momentum = 0.9f,
                       .gradient_scale = 0.7f};
    };
    cpu::sgd_update(args(a));
    ref::sgd_update(args(b));
  }
  check_close("weights", a.weights, b.weights, {1e-6, 1e-6});
  check_close("velocity", a.m, b.m, {1e-6, 1e-6});
  CHECK(same_bits(a.gradient, start.gradient));
  for (std::int64_t i = 0; i < kCount; ++i) {
    if (is_updated(i)) continue;
    REQUIRE(a.weights[i] == start.weights[i]);
    REQUIRE(a.m[i] == start.m[i]);
  }
}

TEST_CASE("adamw_update: cpu is ref over several steps; what is frozen or between segments is untouched") {
  const std::vector<ParamSegment> segments = odd_segments();
  Parameters start(2), a = start, b = start;
  for (int step = 1; step <= 4; ++step) {
    const auto args = [&](Parameters& p) {
      return AdamWUpdate{.weights = p.weights.data(),
                         .gradient = p.gradient.data(),
                         .m = p.m.data(),
                         .v = p.v.data(),
                         .segments = segments,
                         .lr = 0.05f,
                         .optimizer_step = step,
                         .gradient_scale = 0.7f};
    };
    cpu::adamw_update(args(a));
    ref::adamw_update(args(b));
  }
  // v begins anywhere, so that v^ of the first steps divides by little: the updates are large.
  check_close("weights", a.weights, b.weights, {1e-5, 1e-5});
  check_close("m", a.m, b.m, {1e-6, 1e-6});
  check_close("v", a.v, b.v, {1e-7, 1e-6});
  for (std::int64_t i = 0; i < kCount; ++i) {
    if (is_updated(i)) continue;
    REQUIRE(a.weights[i] == start.weights[i]);
    REQUIRE(a.m[i] == start.m[i]);
    REQUIRE(a.v[i] == start.v[i]);
  }
}

TEST_CASE("ema_update: cpu is ref") {
  for (const std::int64_t count : {std::int64_t{0}, std::int64_t{1}, std::int64_t{17}, kCount}) {
    Parameters a(3), b = a;
    cpu::ema_update({.average = a.weights.data(), .value = a.gradient.data(), .count = count, .decay = 0.99f});
    ref::ema_update({.average = b.weights.data(), .value = b.gradient.data(), .count = count, .decay = 0.99f});
    check_close("average", a.weights, b.weights, {1e-7, 1e-6});
  }
}

TEST_CASE("gradient_norm: cpu is ref, counts only what is trained, and does not overflow") {
  const std::vector<ParamSegment> segments = odd_segments();
  Parameters p(4);
  const auto norm = [&](auto function) {
    double sum = -1;
    std::int32_t bad = -2;
    function(
        GradientNorm{.gradient = p.gradient.data(), .segments = segments, .sum_of_squares = &sum, .bad_segment = &bad},
        Stream{});
    CHECK(bad == -1);
    return sum;
  };
  CHECK(norm(cpu::gradient_norm) == doctest::Approx(norm(ref::gradient_norm)).epsilon(1e-12));
  const double before = norm(cpu::gradient_norm);
  p.gradient[45000] = NAN;  // frozen
  p.gradient[50003] = NAN;  // in no segment
  CHECK(norm(cpu::gradient_norm) == before);
  CHECK(norm(ref::gradient_norm) == doctest::Approx(before).epsilon(1e-12));
  p.gradient.fill(3e38f);
  CHECK(norm(cpu::gradient_norm) == doctest::Approx((40001.0 + kCount - 50009) * 9e76));
}

TEST_CASE("gradient_norm: names the last segment with a NaN or an infinity, wherever it is in it") {
  const std::vector<ParamSegment> segments = odd_segments();
  for (const float value : {NAN, INFINITY, -INFINITY}) {
    for (const auto& [index, segment] : std::vector<std::pair<std::int64_t, std::int32_t>>{
             {0, 0}, {6, 0}, {7, 1}, {16390, 1}, {40000, 1}, {50009, 4}, {kCount - 1, 4}}) {
      for (const bool reference : {false, true}) {
        Parameters p(5);
        p.gradient[index] = value;
        p.gradient[0] = value;
        double sum = 0;
        std::int32_t bad = -2;
        const GradientNorm args{
            .gradient = p.gradient.data(), .segments = segments, .sum_of_squares = &sum, .bad_segment = &bad};
        if (reference)
          ref::gradient_norm(args);
        else
          cpu::gradient_norm(args);
        CHECK(bad == segment);
        CHECK(!std::isfinite(sum));
      }
    }
  }
}

TEST_CASE("optimizer: the same bits with one thread and with several") {
  const std::vector<ParamSegment> segments = odd_segments();
  const auto run = [&](int threads) {
    const ThreadScope scope(threads);
    Parameters p(6);
    double sum = 0;
    std::int32_t bad = 0;
    cpu::gradient_norm(
        {.gradient = p.gradient.data(), .segments = segments, .sum_of_squares = &sum, .bad_segment = &bad});
    const float scale = static_cast<float>(1 / std::sqrt(sum));
    cpu::adamw_update({.weights = p.weights.data(),
                       .gradient = p.gradient.data(),
                       .m = p.m.data(),
                       .v = p.v.data(),
                       .segments = segments,
                       .lr = 0.1f,
                       .gradient_scale = scale});
    cpu::sgd_update({.weights = p.weights.data(),
                     .gradient = p.gradient.data(),
                     .velocity = p.m.data(),
                     .segments = segments,
                     .lr = 0.1f,
                     .gradient_scale = scale});
    cpu::ema_update({.average = p.v.data(), .value = p.weights.data(), .count = kCount, .decay = 0.9f});
    return p;
  };
  const Parameters one = run(1);
  for (const int threads : {2, 3}) {
    const Parameters other = run(threads);
    CHECK(same_bits(one.weights, other.weights));
    CHECK(same_bits(one.m, other.m));
    CHECK(same_bits(one.v, other.v));
  }
}

TEST_CASE("optimizer: arguments that do not fit are errors") {
  float w = 0, g = 0, v = 0, m = 0;
  double sum = 0;
  const std::vector<ParamSegment> backwards = {{.begin = 5, .end = 2}}, negative = {{.begin = -1, .end = 2}};
  const std::vector<ParamSegment> good = {{.begin = 0, .end = 1}};
  CHECK_THROWS_AS(cpu::sgd_update({.weights = &w, .gradient = &g, .velocity = &v, .segments = backwards}), Error);
  CHECK_THROWS_AS(cpu::sgd_update({.weights = &w, .gradient = &g, .velocity = &v, .segments = negative}), Error);
  CHECK_THROWS_AS(cpu::sgd_update({.weights = &w, .gradient = nullptr, .velocity = &v, .segments = good}), Error);
  CHECK_THROWS_AS(cpu::adamw_update({.weights = &w, .gradient = &g, .m = &m, .v = &v, .segments = good, .optimizer_step = 0}),
                  Error);
  CHECK_THROWS_AS(ref::adamw_update({.weights = &w, .gradient = &g, .m = nullptr, .v = &v, .segments = good}), Error);
  CHECK_THROWS_AS(cpu::gradient_norm({.gradient = &g, .segments = good, .sum_of_squares = &sum}), Error);
  CHECK_THROWS_AS(cpu::ema_update({.average = &w, .value = &g, .count = -1}), Error);
  CHECK_THROWS_AS(cpu::ema_update({.average = nullptr, .value = &g, .count = 1}), Error);
}

}  // namespace rook::test
